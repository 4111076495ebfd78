//! What a checkpoint's configs say of its KV cache: whether it is quantized, to what, how finely.
//!
//! One file per exporter's form. A form that asks for something this crate cannot honour (dynamic
//! scales, zero points, other bit widths, groups) is an error, never a guess.

mod compressed_tensors;
mod modelopt;
mod quark;

use serde_json::Value;

use crate::model::text_config;
use crate::{Checkpoint, Error, KvDtype};

/// How many scales one tensor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// One.
    Tensor,
    /// One per head.
    AttnHead,
}

/// Which exporter's form a scheme was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SchemeForm {
    /// `quantization_config.kv_cache_scheme`.
    CompressedTensors,
    /// `kv_cache_quant_algo`, in `hf_quant_config.json` or `config.json`.
    ModelOpt,
    /// Quark's `kv_cache_group`.
    Quark,
}

/// A config's demand for a quantized KV cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvScheme {
    /// Whose form it is.
    pub form: SchemeForm,
    /// [`KvDtype::Fp8E4M3`] or [`KvDtype::Int8`].
    pub dtype: KvDtype,
    /// The granularity, where the form tells it.
    pub strategy: Option<Strategy>,
}

/// The scheme of a checkpoint, from whichever configs it has.
///
/// # Errors
/// When a config asks for what is not supported, or two ask for different things.
pub fn find(checkpoint: &Checkpoint) -> Result<Option<KvScheme>, Error> {
    let side = checkpoint.json(modelopt::SIDE_FILE)?;
    let of_config = checkpoint.config().map(from_config).transpose()?.flatten();
    let of_side = side.as_ref().map(modelopt::from_side_file).transpose()?.flatten();
    agree(("config.json", of_config), (modelopt::SIDE_FILE, of_side))
}

/// The one scheme of two places, which must not ask for different things.
fn agree(
    (place, a): (&str, Option<KvScheme>),
    (other, b): (&str, Option<KvScheme>),
) -> Result<Option<KvScheme>, Error> {
    match (a, b) {
        (Some(a), Some(b)) if a.dtype != b.dtype => Err(Error::ConflictingSchemes {
            first: format!("{place} asks for {}", a.dtype),
            second: format!("{other} for {}", b.dtype),
        }),
        (a, b) => Ok(a.or(b)),
    }
}

/// The scheme in a `config.json`.
///
/// # Errors
/// As [`find`].
pub fn from_config(config: &Value) -> Result<Option<KvScheme>, Error> {
    let quantization = [config, text_config(config)]
        .into_iter()
        .flat_map(|c| [c.get("quantization_config"), c.get("compression_config")])
        .flatten()
        .find(|block| !block.is_null());
    let Some(block) = quantization else { return Ok(None) };
    match block.get("quant_method").and_then(Value::as_str) {
        Some("quark") => quark::from_block(block),
        _ => agree(
            (compressed_tensors::FIELD, compressed_tensors::from_block(block)?),
            (modelopt::FIELD, modelopt::from_block(block)?),
        ),
    }
}

/// The error for a field whose value asks for something unsupported.
fn unsupported(form: &'static str, field: &str, value: &Value, supported: &'static str) -> Error {
    Error::UnsupportedScheme { form, field: field.into(), value: value.to_string(), supported }
}
