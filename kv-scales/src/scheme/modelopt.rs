//! ModelOpt: `kv_cache_quant_algo`, in its side file or inside `quantization_config`.

use serde_json::Value;

use super::{KvScheme, SchemeForm, unsupported};
use crate::{Error, KvDtype};

pub(super) const SIDE_FILE: &str = "hf_quant_config.json";
pub(super) const FIELD: &str = "kv_cache_quant_algo";

pub(super) fn from_side_file(config: &Value) -> Result<Option<KvScheme>, Error> {
    from_block(config)
}

/// The field stands in the block itself or, one level deeper, in its `quantization`.
pub(super) fn from_block(block: &Value) -> Result<Option<KvScheme>, Error> {
    let inner = block.get("quantization").and_then(|q| q.get(FIELD));
    let Some(algo) = inner.or(block.get(FIELD)).filter(|algo| !algo.is_null()) else {
        return Ok(None);
    };
    let dtype = match algo.as_str() {
        Some("FP8") => KvDtype::Fp8E4M3,
        Some("INT8") => KvDtype::Int8,
        _ => return Err(unsupported("ModelOpt", FIELD, algo, "`FP8` and `INT8`")),
    };
    Ok(Some(KvScheme { form: SchemeForm::ModelOpt, dtype, strategy: None }))
}
