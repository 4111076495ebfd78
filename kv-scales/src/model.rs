//! What the scales need to know of a model: its layers, which of them attend, and their heads.

use std::ops::RangeInclusive;

use serde_json::Value;

use crate::{Error, KvDtype};

/// The most layers a model may claim, before anything is allocated for them.
pub const MAX_LAYERS: usize = 1024;
/// The most heads a layer may claim.
pub const MAX_HEADS: usize = 1024;

/// How a layer attends, so whether it has a KV cache at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayerKind {
    /// Over everything before.
    Full,
    /// Over a window, or within a chunk.
    Sliding,
    /// Not at all: a recurrent, convolutional or MLP-only layer of a hybrid model.
    NoAttention,
}

/// One layer, as far as its KV cache goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerShape {
    /// Whether and how it attends.
    pub kind: LayerKind,
    /// Query heads.
    pub num_heads: usize,
    /// KV heads: those of the cache, so 1 for multi-head latent attention.
    pub num_kv_heads: usize,
}

/// A model's layers and dtype.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelShape {
    /// One entry per layer.
    pub layers: Vec<LayerShape>,
    /// Layers after the last that predict further tokens (MTP); checkpoints number them on.
    pub num_predict_layers: usize,
    /// F32, F16 or Bf16, when the config says so.
    pub dtype: Option<KvDtype>,
}

/// Numbers given by the caller, which win over `config.json`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GivenShape {
    /// The number of layers.
    pub num_layers: Option<usize>,
    /// Query heads per layer.
    pub num_heads: Option<usize>,
    /// KV heads per layer, over all tensor-parallel ranks.
    pub num_kv_heads: Option<usize>,
}

impl ModelShape {
    /// A model of equal layers, all with full attention.
    pub fn uniform(num_layers: usize, num_heads: usize, num_kv_heads: usize) -> Self {
        let layer = LayerShape { kind: LayerKind::Full, num_heads, num_kv_heads };
        ModelShape { layers: vec![layer; num_layers], num_predict_layers: 0, dtype: None }
    }

    /// Reads `config.json`, plain or with the language model nested inside.
    ///
    /// # Errors
    /// When a number is neither there nor given, or out of range; when a list has another length
    /// than the model has layers.
    pub fn from_config(config: Option<&Value>, given: &GivenShape) -> Result<Self, Error> {
        let null = Value::Null;
        let config = text_config(config.unwrap_or(&null));
        let layers = ["num_hidden_layers", "n_layer", "num_layers", "n_layers"];
        let num_layers = one(config, &layers, given.num_layers, 1..=MAX_LAYERS)?
            .ok_or(Error::MissingConfig { field: layers[0] })?;
        let names = ["num_attention_heads", "n_head", "num_heads", "n_heads"];
        let heads = per_layer(config, &names, given.num_heads, num_layers)?
            .ok_or(Error::MissingConfig { field: names[0] })?;
        let names = ["num_key_value_heads", "num_kv_heads", "n_head_kv"];
        let kv_heads = match per_layer(config, &names, given.num_kv_heads, num_layers)? {
            // Multi-head latent attention caches one latent vector, whatever the heads are.
            _ if given.num_kv_heads.is_none() && number(config, "kv_lora_rank").is_some() => {
                vec![1; num_layers]
            }
            Some(kv_heads) => kv_heads,
            None if config.get("multi_query") == Some(&Value::Bool(true)) => vec![1; num_layers],
            None => heads.clone(),
        };
        let kinds = layer_kinds(config, num_layers)?;
        let layers = kinds
            .into_iter()
            .zip(heads.into_iter().zip(kv_heads))
            .map(|(kind, (num_heads, num_kv_heads))| {
                let none = num_heads == 0 || num_kv_heads == 0;
                let kind = if none { LayerKind::NoAttention } else { kind };
                LayerShape { kind, num_heads, num_kv_heads }
            })
            .collect();
        let predict = ["num_nextn_predict_layers", "mtp_num_hidden_layers"];
        let num_predict_layers = one(config, &predict, None, 0..=MAX_LAYERS)?.unwrap_or(0);
        Ok(ModelShape { layers, num_predict_layers, dtype: model_dtype(config) })
    }
}

/// The part of a config that speaks of the language model.
pub(crate) fn text_config(config: &Value) -> &Value {
    ["text_config", "llm_config", "language_config"]
        .iter()
        .filter_map(|key| config.get(key))
        .find(|inner| inner.get("num_hidden_layers").is_some())
        .unwrap_or(config)
}

fn model_dtype(config: &Value) -> Option<KvDtype> {
    let name = ["dtype", "torch_dtype"].iter().find_map(|key| config.get(key)?.as_str())?;
    match name.trim_start_matches("torch.") {
        "float32" => Some(KvDtype::F32),
        "float16" | "half" => Some(KvDtype::F16),
        "bfloat16" => Some(KvDtype::Bf16),
        _ => None,
    }
}

fn number(config: &Value, field: &str) -> Option<u64> {
    config.get(field)?.as_u64()
}

fn bounded(field: &str, value: &Value, range: RangeInclusive<usize>) -> Result<usize, Error> {
    let number = value.as_u64().and_then(|n| usize::try_from(n).ok());
    number.filter(|n| range.contains(n)).ok_or_else(|| Error::BadConfigValue {
        field: field.into(),
        value: value.to_string(),
        expected: format!("a number from {} to {}", range.start(), range.end()),
    })
}

/// The first of these fields that is there and not null.
fn find<'a>(config: &'a Value, fields: &[&'static str]) -> Option<(&'static str, &'a Value)> {
    fields.iter().find_map(|field| Some((*field, config.get(field).filter(|v| !v.is_null())?)))
}

fn one(
    config: &Value,
    fields: &[&'static str],
    given: Option<usize>,
    range: RangeInclusive<usize>,
) -> Result<Option<usize>, Error> {
    match (given, find(config, fields)) {
        (Some(given), _) => bounded(fields[0], &given.into(), range).map(Some),
        (None, Some((field, value))) => bounded(field, value, range).map(Some),
        (None, None) => Ok(None),
    }
}

/// One number for all layers, or a list with one per layer, in which 0 and null stand for a layer
/// without attention.
fn per_layer(
    config: &Value,
    fields: &[&'static str],
    given: Option<usize>,
    num_layers: usize,
) -> Result<Option<Vec<usize>>, Error> {
    if let (None, Some((field, Value::Array(list)))) = (given, find(config, fields)) {
        check_length(field, list.len(), num_layers)?;
        return list
            .iter()
            .map(|v| if v.is_null() { Ok(0) } else { bounded(field, v, 0..=MAX_HEADS) })
            .collect::<Result<_, _>>()
            .map(Some);
    }
    Ok(one(config, fields, given, 1..=MAX_HEADS)?.map(|n| vec![n; num_layers]))
}

fn check_length(field: &str, len: usize, num_layers: usize) -> Result<(), Error> {
    if len == num_layers {
        return Ok(());
    }
    Err(Error::BadConfigValue {
        field: field.into(),
        value: format!("a list of {len}"),
        expected: format!("one entry for each of {num_layers} layers"),
    })
}

/// The kinds of the layers, from whichever of the known fields the config has.
fn layer_kinds(config: &Value, num_layers: usize) -> Result<Vec<LayerKind>, Error> {
    use LayerKind::{Full, NoAttention, Sliding};
    let all = |kind: &dyn Fn(usize) -> LayerKind| Ok((0..num_layers).map(kind).collect());
    let only = |attends: &dyn Fn(usize) -> bool| {
        Ok((0..num_layers).map(|i| if attends(i) { Full } else { NoAttention }).collect())
    };
    if let Some((field, Value::Array(list))) = find(config, &["layer_types", "layers_block_type"]) {
        check_length(field, list.len(), num_layers)?;
        return list.iter().map(|v| kind_by_name(field, v)).collect();
    }
    if let Some((field, Value::String(pattern))) = find(config, &["hybrid_override_pattern"]) {
        check_length(field, pattern.chars().count(), num_layers)?;
        return Ok(pattern.chars().map(|c| if c == '*' { Full } else { NoAttention }).collect());
    }
    if let Some((_, Value::Array(list))) = find(config, &["attn_layer_indices", "full_attn_idxs"]) {
        let listed = |i: usize| list.iter().any(|v| v.as_u64() == Some(i as u64));
        return only(&listed);
    }
    if let Some(period) = number(config, "attn_layer_period").filter(|p| *p > 0) {
        let offset = number(config, "attn_layer_offset").unwrap_or(0);
        return only(&|i| i as u64 % period == offset);
    }
    let windowed = number(config, "sliding_window").is_some()
        && config.get("use_sliding_window") != Some(&Value::Bool(false));
    if !windowed {
        return all(&|_| Full);
    }
    // Every n-th layer sees everything, the others a window.
    let pattern = number(config, "sliding_window_pattern").filter(|n| *n > 0).or_else(|| {
        let gemma2 = config.get("model_type").and_then(Value::as_str) == Some("gemma2");
        gemma2.then_some(2)
    });
    if let Some(n) = pattern {
        return all(&|i| if (i as u64 + 1).is_multiple_of(n) { Full } else { Sliding });
    }
    let first = number(config, "max_window_layers").unwrap_or(0);
    all(&|i| if i as u64 >= first { Sliding } else { Full })
}

fn kind_by_name(field: &str, value: &Value) -> Result<LayerKind, Error> {
    let name = value.as_str().ok_or_else(|| Error::BadConfigValue {
        field: field.into(),
        value: value.to_string(),
        expected: "names of layer kinds".into(),
    })?;
    Ok(match name {
        "sliding_attention" | "chunked_attention" => LayerKind::Sliding,
        "linear_attention" => LayerKind::NoAttention,
        "attention" | "hybrid" => LayerKind::Full,
        other if other.ends_with("_attention") => LayerKind::Full,
        _ => LayerKind::NoAttention,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kinds(mut config: Value) -> String {
        config["num_hidden_layers"] = json!(6);
        config["num_attention_heads"] = json!(4);
        let model = ModelShape::from_config(Some(&config), &GivenShape::default()).unwrap();
        let letter = |layer: &LayerShape| match layer.kind {
            LayerKind::Full => 'F',
            LayerKind::Sliding => 's',
            LayerKind::NoAttention => '-',
        };
        model.layers.iter().map(letter).collect()
    }

    #[test]
    fn layer_kinds_of_each_config_form() {
        let mixed = json!([
            "full_attention",
            "sliding_attention",
            "linear_attention",
            "conv",
            "chunked_attention",
            "attention"
        ]);
        for (config, expected) in [
            (json!({}), "FFFFFF"),
            (json!({"layer_types": mixed}), "Fs--sF"),
            (
                json!({"layers_block_type": ["mamba", "hybrid", "mamba", "mamba", "attention", "x"]}),
                "-F--F-",
            ),
            (json!({"hybrid_override_pattern": "M-*EM*"}), "--F--F"),
            (json!({"attn_layer_indices": [1, 4]}), "-F--F-"),
            (json!({"attn_layer_period": 3, "attn_layer_offset": 1}), "-F--F-"),
            (json!({"num_key_value_heads": [1, 0, 2, null, 1, 1]}), "F-F-FF"),
            (json!({"sliding_window": 4096}), "ssssss"),
            (json!({"sliding_window": null}), "FFFFFF"),
            (json!({"sliding_window": 8, "use_sliding_window": false}), "FFFFFF"),
            (
                json!({"sliding_window": 8, "use_sliding_window": true, "max_window_layers": 4}),
                "FFFFss",
            ),
            (json!({"sliding_window": 8, "sliding_window_pattern": 3}), "ssFssF"),
            (json!({"sliding_window": 8, "model_type": "gemma2"}), "sFsFsF"),
        ] {
            assert_eq!(kinds(config.clone()), expected, "{config}");
        }
    }

    #[test]
    fn heads_come_from_the_config_or_are_given() {
        let shape = |config: Value, given: &GivenShape| {
            let model = ModelShape::from_config(Some(&config), given)?;
            let heads = |l: &LayerShape| (l.num_heads, l.num_kv_heads);
            Ok::<_, Error>((model.layers.iter().map(heads).collect::<Vec<_>>(), model.dtype))
        };
        let none = GivenShape::default();
        let llama = json!({"num_hidden_layers": 2, "num_attention_heads": 8,
            "num_key_value_heads": 2, "torch_dtype": "bfloat16"});
        assert_eq!(shape(llama.clone(), &none).unwrap(), (vec![(8, 2); 2], Some(KvDtype::Bf16)));
        let given = GivenShape { num_layers: Some(1), num_kv_heads: Some(4), ..none };
        assert_eq!(shape(llama.clone(), &given).unwrap().0, [(8, 4)]);
        let nested = json!({"text_config": llama, "num_attention_heads": 99});
        assert_eq!(shape(nested, &none).unwrap().0, [(8, 2); 2]);
        let gpt = json!({"n_layer": 1, "n_head": 12});
        assert_eq!(shape(gpt, &none).unwrap(), (vec![(12, 12)], None));
        let lists = json!({"num_hidden_layers": 2, "num_attention_heads": [8, 4],
            "num_key_value_heads": [2, 1], "dtype": "float16"});
        assert_eq!(shape(lists, &none).unwrap(), (vec![(8, 2), (4, 1)], Some(KvDtype::F16)));
        let mla = json!({"num_hidden_layers": 1, "num_attention_heads": 128,
            "num_key_value_heads": 128, "kv_lora_rank": 512});
        assert_eq!(shape(mla, &none).unwrap().0, [(128, 1)]);
    }

    #[test]
    fn numbers_out_of_range_are_refused_by_name() {
        for (config, words) in [
            (json!({"num_attention_heads": 1}), "num_hidden_layers"),
            (json!({"num_hidden_layers": 0, "num_attention_heads": 1}), "from 1"),
            (json!({"num_hidden_layers": 1, "num_attention_heads": 0}), "from 1"),
            (json!({"num_hidden_layers": 1}), "num_attention_heads"),
            (
                json!({"num_hidden_layers": 4_000_000_000_u64, "num_attention_heads": 1}),
                "4000000000",
            ),
            (json!({"num_hidden_layers": -1, "num_attention_heads": 1}), "-1"),
            (json!({"num_hidden_layers": 1, "num_attention_heads": 1e9}), "1024"),
            (json!({"num_hidden_layers": 2, "num_attention_heads": [1]}), "2 layers"),
            (
                json!({"num_hidden_layers": 1, "num_attention_heads": 1, "layer_types": []}),
                "layer_types",
            ),
            (
                json!({"num_hidden_layers": 1, "num_attention_heads": 1, "layer_types": [3]}),
                "layer_types",
            ),
        ] {
            let error = ModelShape::from_config(Some(&config), &GivenShape::default()).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
