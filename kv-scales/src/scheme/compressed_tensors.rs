//! `quantization_config.kv_cache_scheme`, as llm-compressor writes it and ModelOpt copies it.

use serde_json::Value;

use super::{KvScheme, SchemeForm, Strategy, unsupported};
use crate::{Error, KvDtype};

pub(super) const FIELD: &str = "kv_cache_scheme";

pub(super) fn from_block(block: &Value) -> Result<Option<KvScheme>, Error> {
    let Some(scheme) = block.get(FIELD).filter(|s| !s.is_null()) else { return Ok(None) };
    if !scheme.is_object() {
        return Err(unsupported(FIELD, "", scheme, "an object"));
    }
    let null = Value::Null;
    let field = |name: &str| scheme.get(name).unwrap_or(&null);
    let refuse = |name: &str, supported| Err(unsupported(FIELD, name, field(name), supported));

    let dtype = match field("type").as_str() {
        Some("float") => KvDtype::Fp8E4M3,
        Some("int") => KvDtype::Int8,
        _ => return refuse("type", "`float` and `int`"),
    };
    if !field("num_bits").is_null() && field("num_bits").as_u64() != Some(8) {
        return refuse("num_bits", "8");
    }
    if !matches!(field("dynamic"), Value::Null | Value::Bool(false)) {
        return refuse(
            "dynamic",
            "false; dynamic scales are a dtype of their own, `fp8_per_token_head`",
        );
    }
    if !matches!(field("symmetric"), Value::Null | Value::Bool(true)) {
        return refuse("symmetric", "true: a cache has no zero points");
    }
    let strategy = match field("strategy") {
        Value::Null => Strategy::Tensor,
        Value::String(s) if s == "tensor" => Strategy::Tensor,
        Value::String(s) if s == "attn_head" => Strategy::AttnHead,
        _ => return refuse("strategy", "`tensor` and `attn_head`"),
    };
    for name in ["group_size", "block_structure"] {
        if !field(name).is_null() {
            return refuse(name, "null: scales are per tensor or per head");
        }
    }
    let modelopt = block.get("quant_method").and_then(Value::as_str) == Some("modelopt");
    let form = if modelopt { SchemeForm::ModelOpt } else { SchemeForm::CompressedTensors };
    Ok(Some(KvScheme { form, dtype, strategy: Some(strategy) }))
}
