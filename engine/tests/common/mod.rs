//! Running the real binary, and checkpoints with something wrong in them.
#![allow(dead_code, reason = "every test file uses another part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// What transformers makes of the embedded model: see `tests/data/README.md`.
pub(crate) fn references() -> Value {
    serde_json::from_str(include_str!("../data/tiny_references.json")).unwrap()
}

/// A file of `engine/assets`.
pub(crate) fn asset(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join(name)
}

/// Runs `fp8kv`.
pub(crate) fn fp8kv(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fp8kv"));
    command.args(args).stdin(Stdio::null()).output().unwrap()
}

/// The stdout of a run that must succeed.
pub(crate) fn stdout(args: &[&str]) -> String {
    let output = fp8kv(args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "fp8kv {args:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// The one JSON document a run prints.
pub(crate) fn json(args: &[&str]) -> Value {
    let text = stdout(args);
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("fp8kv {args:?}: {e}: {text}"))
}

/// The error line of a run that must fail: exit code 1, nothing on stdout, one line on stderr.
pub(crate) fn error(args: &[&str]) -> String {
    let output = fp8kv(args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "fp8kv {args:?}: {stderr}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "", "fp8kv {args:?}");
    assert_eq!(stderr.lines().count(), 1, "fp8kv {args:?}: {stderr}");
    stderr.trim_end().strip_prefix("error: ").unwrap_or_else(|| panic!("{stderr}")).to_owned()
}

/// Fails unless the error line of a run holds all of `words`.
pub(crate) fn refuses(args: &[&str], words: &[&str]) {
    let error = error(args);
    for word in words {
        assert!(error.contains(word), "fp8kv {args:?}: {word:?} is not in {error:?}");
    }
}

/// The keys of a JSON object, sorted.
pub(crate) fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// A copy of the tiny model's directory, to break.
pub(crate) struct Model {
    dir: tempfile::TempDir,
}

impl Model {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in engine::assets::files() {
            std::fs::write(dir.path().join(name), bytes).unwrap();
        }
        Self { dir }
    }

    pub(crate) fn path(&self) -> &str {
        self.dir.path().to_str().unwrap()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        std::fs::write(self.file(name), bytes).unwrap();
        self
    }

    pub(crate) fn remove(self, name: &str) -> Self {
        std::fs::remove_file(self.file(name)).unwrap();
        self
    }

    /// Changes a JSON file.
    pub(crate) fn edit(self, name: &str, change: impl FnOnce(&mut Value)) -> Self {
        let mut value = serde_json::from_slice(&std::fs::read(self.file(name)).unwrap()).unwrap();
        change(&mut value);
        self.write(name, value.to_string())
    }

    /// Replaces text in the header of `model.safetensors` by text of the same length.
    pub(crate) fn edit_header(self, from: &str, to: &str) -> Self {
        assert_eq!(from.len(), to.len());
        let mut bytes = std::fs::read(self.file("model.safetensors")).unwrap();
        let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        self.write("model.safetensors", bytes)
    }

    /// Adds tensors of f32 in a second safetensors file, and the index that lists both.
    pub(crate) fn add_tensors(self, tensors: &[(String, Vec<f32>)]) -> Self {
        let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
        for (name, values) in tensors {
            let begin = data.len();
            data.extend(values.iter().flat_map(|v| v.to_le_bytes()));
            let entry = serde_json::json!(
                {"dtype": "F32", "shape": [values.len()], "data_offsets": [begin, data.len()]});
            header.insert(name.clone(), entry);
        }
        let header = Value::Object(header).to_string().into_bytes();
        let length = (header.len() as u64).to_le_bytes();
        let mut map = serde_json::Map::new();
        let base = std::fs::read(self.file("model.safetensors")).unwrap();
        let end = 8 + u64::from_le_bytes(base[..8].try_into().unwrap()) as usize;
        let base: Value = serde_json::from_slice(&base[8..end]).unwrap();
        for name in base.as_object().unwrap().keys().filter(|n| *n != "__metadata__") {
            map.insert(name.clone(), "model.safetensors".into());
        }
        for (name, _) in tensors {
            map.insert(name.clone(), "scales.safetensors".into());
        }
        let index = serde_json::json!({"metadata": {}, "weight_map": map}).to_string();
        self.write("scales.safetensors", [&length[..], &header, &data].concat())
            .write("model.safetensors.index.json", index)
    }

    /// Per-tensor k and v scales in every layer.
    pub(crate) fn with_scales(self, k: f32, v: f32) -> Self {
        let name = |layer: usize, what| format!("model.layers.{layer}.self_attn.{what}_scale");
        let tensors: Vec<_> = (0..4)
            .flat_map(|layer| [(name(layer, "k"), vec![k]), (name(layer, "v"), vec![v])])
            .collect();
        self.add_tensors(&tensors)
    }
}
