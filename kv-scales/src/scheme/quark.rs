//! Quark: a group of layer patterns whose outputs are cached, and the spec of those outputs.

use serde_json::Value;

use super::{KvScheme, SchemeForm, Strategy, unsupported};
use crate::{Error, KvDtype};

const FORM: &str = "Quark";

pub(super) fn from_block(block: &Value) -> Result<Option<KvScheme>, Error> {
    let group = block.get("export").and_then(|e| e.get("kv_cache_group"));
    let Some(group) = group.or(block.get("kv_cache_group")).filter(|g| !g.is_null()) else {
        return Ok(None);
    };
    let Some(patterns) = group.as_array() else {
        return Err(unsupported(FORM, "kv_cache_group", group, "a list of layer patterns"));
    };
    let mut found = None;
    for pattern in patterns {
        let Some(name) = pattern.as_str() else {
            return Err(unsupported(FORM, "kv_cache_group", pattern, "a list of layer patterns"));
        };
        let dtype = output_dtype(block, name)?;
        if let Some((first, other)) = found.filter(|(_, other)| *other != dtype) {
            return Err(Error::ConflictingSchemes {
                first: format!("Quark's {first} asks for {other}"),
                second: format!("{name} for {dtype}"),
            });
        }
        found = Some((name, dtype));
    }
    Ok(found.map(|(_, dtype)| KvScheme {
        form: SchemeForm::Quark,
        dtype,
        strategy: Some(Strategy::Tensor),
    }))
}

/// What the outputs of one pattern of the group are quantized to.
fn output_dtype(block: &Value, pattern: &str) -> Result<KvDtype, Error> {
    let spec = ["kv_cache_quant_config", "layer_quant_config"]
        .iter()
        .find_map(|key| block.get(key)?.get(pattern)?.get("output_tensors"))
        .unwrap_or(&Value::Null);
    let null = Value::Null;
    let field = |name: &str| spec.get(name).unwrap_or(&null);
    let refuse = |name: &str, supported| {
        Err(unsupported(FORM, &format!("{pattern} output_tensors {name}"), field(name), supported))
    };
    let dtype = match field("dtype").as_str() {
        Some("fp8_e4m3") => KvDtype::Fp8E4M3,
        Some("int8") => KvDtype::Int8,
        _ => return refuse("dtype", "`fp8_e4m3` and `int8`"),
    };
    if field("qscheme").as_str() != Some("per_tensor") {
        return refuse("qscheme", "`per_tensor`");
    }
    if !matches!(field("is_dynamic"), Value::Null | Value::Bool(false)) {
        return refuse("is_dynamic", "false");
    }
    if !matches!(field("symmetric"), Value::Null | Value::Bool(true)) {
        return refuse("symmetric", "true: a cache has no zero points");
    }
    Ok(dtype)
}
