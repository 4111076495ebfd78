//! Small random checkpoints of every architecture, in memory.

use kv_scales::Checkpoint;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;

use super::Random;

/// A tensor, as the test keeps it.
pub(crate) struct Tensor {
    shape: Vec<usize>,
    /// Exactly what is stored.
    pub(crate) values: Vec<f64>,
}

pub(crate) type Tensors = BTreeMap<String, Tensor>;

fn base() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "hidden_act": "silu", "hidden_size": 24,
        "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64,
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "vocab_size": 50,
        "tie_word_embeddings": false,
    })
}

/// The base's config with changes.
pub(crate) fn with(changes: &Value) -> Value {
    let mut config = base();
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

/// Random tensors of the shapes that architecture has, rounded to `dtype`.
pub(crate) fn tensors(config: &Value, dtype: &str, extra: &[&str]) -> Tensors {
    let n = |key: &str| config[key].as_u64().unwrap() as usize;
    let (hidden, inner, head) = (n("hidden_size"), n("intermediate_size"), n("head_dim"));
    let (q, kv) = (n("num_attention_heads") * head, n("num_key_value_heads") * head);
    let mut shapes = vec![
        ("model.embed_tokens.weight".to_owned(), vec![n("vocab_size"), hidden]),
        ("model.norm.weight".to_owned(), vec![hidden]),
    ];
    if config["tie_word_embeddings"] == false {
        shapes.push(("lm_head.weight".into(), vec![n("vocab_size"), hidden]));
    }
    for layer in 0..n("num_hidden_layers") {
        let mut add = |name: &str, shape: &[usize]| {
            shapes.push((format!("model.layers.{layer}.{name}"), shape.to_vec()));
        };
        for (name, rows, columns) in [
            ("self_attn.q_proj", q, hidden),
            ("self_attn.k_proj", kv, hidden),
            ("self_attn.v_proj", kv, hidden),
            ("self_attn.o_proj", hidden, q),
            ("mlp.gate_proj", inner, hidden),
            ("mlp.up_proj", inner, hidden),
            ("mlp.down_proj", hidden, inner),
        ] {
            add(&format!("{name}.weight"), &[rows, columns]);
            if extra.iter().any(|e| name.ends_with(e)) {
                add(&format!("{name}.bias"), &[rows]);
            }
        }
        for (name, len) in [
            ("input_layernorm", hidden),
            ("post_attention_layernorm", hidden),
            ("self_attn.q_norm", head),
            ("self_attn.k_norm", head),
        ] {
            if !name.contains("_norm") || extra.contains(&"qk_norm") {
                add(&format!("{name}.weight"), &[len]);
            }
        }
    }
    let mut random = Random(3);
    let fill = |(name, shape): (String, Vec<usize>)| {
        let count: usize = shape.iter().product();
        let scale = 1.5 / (shape[shape.len() - 1] as f64).sqrt();
        let centre = if name.contains("norm") { 1.0 } else { 0.0 };
        let mut value = || round(centre + scale * random.unit(), dtype);
        let values = (0..count).map(|_| value()).collect();
        (name, Tensor { shape, values })
    };
    shapes.into_iter().map(fill).collect()
}

fn round(x: f64, dtype: &str) -> f64 {
    match dtype {
        "F16" => half::f16::from_f64(x).to_f64(),
        "BF16" => half::bf16::from_f32(x as f32).to_f64(),
        _ => f64::from(x as f32),
    }
}

/// A checkpoint in memory: header length, header, bytes.
pub(crate) fn checkpoint(config: &Value, tensors: &Tensors, dtype: &str) -> Checkpoint {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, tensor) in tensors {
        let start = data.len();
        for x in &tensor.values {
            match dtype {
                "F16" => data.extend(half::f16::from_f64(*x).to_le_bytes()),
                "BF16" => data.extend(half::bf16::from_f64(*x).to_le_bytes()),
                _ => data.extend((*x as f32).to_le_bytes()),
            }
        }
        let offsets = [start, data.len()];
        let entry = json!({"dtype": dtype, "shape": tensor.shape, "data_offsets": offsets});
        header.insert(name.clone(), entry);
    }
    let header = Value::Object(header).to_string().into_bytes();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    file.extend(data);
    let config = config.to_string().into_bytes();
    Checkpoint::from_memory(vec![
        ("config.json".into(), Cow::Owned(config)),
        ("model.safetensors".into(), Cow::Owned(file)),
    ])
    .unwrap()
}
