//! Builds checkpoints in memory for the tests.
#![allow(dead_code, reason = "each test crate uses its part")]

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use kv_scales::Checkpoint;
use serde_json::{Map, Value, json};

/// One tensor: name, safetensors dtype, shape, bytes.
pub(crate) type Tensor = (String, &'static str, Vec<usize>, Vec<u8>);

/// An F32 tensor.
pub(crate) fn f32s(name: &str, shape: &[usize], values: &[f32]) -> Tensor {
    let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    (name.into(), "F32", shape.to_vec(), bytes)
}

/// A safetensors file from any header and data.
pub(crate) fn raw_shard(header: &str, data: &[u8]) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(data);
    file
}

/// A well-formed safetensors file.
pub(crate) fn shard(tensors: &[Tensor], metadata: &[(&str, &str)]) -> Vec<u8> {
    let mut header = Map::new();
    if !metadata.is_empty() {
        let metadata: Map<String, Value> =
            metadata.iter().map(|(k, v)| ((*k).into(), json!(v))).collect();
        header.insert("__metadata__".into(), Value::Object(metadata));
    }
    let mut data = Vec::new();
    for (name, dtype, shape, bytes) in tensors {
        let begin = data.len();
        data.extend_from_slice(bytes);
        let info = json!({"dtype": dtype, "shape": shape, "data_offsets": [begin, data.len()]});
        header.insert(name.clone(), info);
    }
    raw_shard(&Value::Object(header).to_string(), &data)
}

/// A Llama config with this many layers, 4 heads and 2 KV heads, in bf16.
pub(crate) fn llama(num_layers: usize) -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "dtype": "bfloat16",
        "num_hidden_layers": num_layers, "num_attention_heads": 4, "num_key_value_heads": 2,
        "rms_norm_eps": 1e-05, "initializer_range": 0.041666666666666664,
    })
}

/// A `quantization_config` with a compressed-tensors KV scheme.
pub(crate) fn scheme(kind: &str, strategy: &str) -> Value {
    json!({"quant_method": "compressed-tensors", "kv_cache_scheme":
        {"type": kind, "num_bits": 8, "strategy": strategy, "dynamic": false, "symmetric": true}})
}

/// A file of a checkpoint in memory.
pub(crate) fn file(name: &str, bytes: impl Into<Vec<u8>>) -> (String, Cow<'static, [u8]>) {
    (name.into(), Cow::Owned(bytes.into()))
}

/// A checkpoint in memory of a config and one shard.
pub(crate) fn checkpoint(config: &Value, tensors: &[Tensor]) -> Checkpoint {
    let files = vec![
        file("config.json", config.to_string()),
        file("model.safetensors", shard(tensors, &[])),
    ];
    Checkpoint::from_memory(files).unwrap()
}

/// A directory with these files.
pub(crate) fn directory(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

/// The directory of a reference checkpoint.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// All files of a directory with their bytes, sorted by name.
pub(crate) fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|e| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap()))
        .collect();
    files.sort();
    files
}
