//! `config.json` with the KV scheme in it, as compressed-tensors reads it.

use serde_json::{Map, Value, json};

use crate::scheme::Strategy;
use crate::{Checkpoint, Error};

use super::scale_set::ScaleSet;

/// The version of the compressed-tensors format that this block follows.
const FORMAT_VERSION: &str = "0.19.0";

/// The checkpoint's config with the scheme of these scales in place of any other.
pub(super) fn with_scheme(source: &Checkpoint, scales: &ScaleSet) -> Result<Value, Error> {
    let bytes = source.file("config.json")?.unwrap_or_default();
    // Strictly: Python's NaN and Infinity could be read, but not be written back.
    let mut config: Value = serde_json::from_slice(&bytes).map_err(|e| Error::BadJson {
        file: "config.json".into(),
        reason: format!("cannot be rewritten: {e}"),
    })?;
    if source.file("hf_quant_config.json")?.is_some() {
        return Err(Error::SchemeNotWritable { quant_method: "modelopt".into() });
    }
    let mut block = match config.get("quantization_config") {
        None | Some(Value::Null) => new_block(),
        Some(block) => match block.get("quant_method").and_then(Value::as_str) {
            Some("compressed-tensors") => block.as_object().cloned().unwrap_or_default(),
            other => {
                let quant_method = other.unwrap_or("unknown").into();
                return Err(Error::SchemeNotWritable { quant_method });
            }
        },
    };
    let scheme = arguments(scales)?;
    set_attention_group(&mut block, &attention_class(&config), scales.has_q().then_some(&scheme));
    block.insert("kv_cache_scheme".into(), scheme);
    if let Some(config) = config.as_object_mut() {
        config.insert("quantization_config".into(), Value::Object(block));
    }
    Ok(config)
}

fn new_block() -> Map<String, Value> {
    let block = json!({
        "config_groups": {},
        "format": "dense",
        "global_compression_ratio": null,
        "ignore": [],
        "quant_method": "compressed-tensors",
        "quantization_status": "compressed",
        "sparsity_config": {},
        "transform_config": {},
        "version": FORMAT_VERSION,
    });
    block.as_object().cloned().unwrap_or_default()
}

/// The `QuantizationArgs` of the scales.
fn arguments(scales: &ScaleSet) -> Result<Value, Error> {
    let strategy = match scales.strategy()? {
        Strategy::Tensor => "tensor",
        Strategy::AttnHead => "attn_head",
    };
    let kind = if scales.dtypes.k.is_int8() { "int" } else { "float" };
    Ok(json!({
        "actorder": null,
        "block_structure": null,
        "dynamic": false,
        "group_size": null,
        "num_bits": 8,
        "observer": null,
        "observer_kwargs": {},
        "scale_dtype": null,
        "strategy": strategy,
        "symmetric": true,
        "type": kind,
        "zp_dtype": null,
    }))
}

/// `LlamaForCausalLM` → `LlamaAttention`, as the modules are called that hold the scales.
fn attention_class(config: &Value) -> String {
    let architecture = config
        .get("architectures")
        .and_then(|list| list.get(0))
        .and_then(Value::as_str)
        .unwrap_or("Llama");
    let stem = architecture.split("For").next().unwrap_or(architecture);
    format!("{stem}Attention")
}

/// q scales are told by a config group of their own; without them there is none.
fn set_attention_group(block: &mut Map<String, Value>, class: &str, arguments: Option<&Value>) {
    let groups = block.entry("config_groups").or_insert_with(|| json!({}));
    let Some(groups) = groups.as_object_mut() else { return };
    let ours = |group: &Value| group.get("targets") == Some(&json!([class]));
    groups.retain(|_, group| !ours(group));
    let Some(arguments) = arguments else { return };
    let name = (0..).map(|i| format!("group_{i}")).find(|name| !groups.contains_key(name));
    let group = json!({
        "format": "dense",
        "input_activations": arguments,
        "output_activations": null,
        "targets": [class],
        "weights": null,
    });
    groups.insert(name.unwrap_or_default(), group);
}
