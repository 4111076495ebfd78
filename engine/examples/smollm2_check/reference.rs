//! The stored outputs, and the model with and without calibrated scales.

use crate::Failure;
use attn_kernels::AttnMath;
use engine::llm::{EngineConfig, Llm};
use kv_scales::{Checkpoint, TensorDtype};
use serde_json::Value;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// One stored file of tensors.
pub(crate) struct Tensors(Checkpoint);

impl Tensors {
    fn open(path: &Path) -> Result<Self, Failure> {
        let bytes = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let file = ("model.safetensors".to_owned(), Cow::Owned(bytes));
        Ok(Self(Checkpoint::from_memory(vec![file])?))
    }

    fn words(&self, name: &str, dtype: TensorDtype) -> Result<Vec<[u8; 4]>, Failure> {
        let tensor = self.0.tensor(name).ok_or_else(|| format!("no tensor {name}"))?;
        if tensor.dtype != dtype {
            return Err(format!("tensor {name} is {}", tensor.dtype).into());
        }
        let bytes = self.0.read(tensor)?;
        Ok(bytes.chunks_exact(4).map(|b| [b[0], b[1], b[2], b[3]]).collect())
    }

    pub(crate) fn f32(&self, name: &str) -> Result<Vec<f32>, Failure> {
        let words = self.words(name, TensorDtype::F32)?;
        Ok(words.into_iter().map(f32::from_le_bytes).collect())
    }

    pub(crate) fn ids(&self, name: &str) -> Result<Vec<u32>, Failure> {
        let words = self.words(name, TensorDtype::I32)?;
        Ok(words.into_iter().map(u32::from_le_bytes).collect())
    }
}

/// A held-out passage.
pub(crate) struct Passage {
    pub(crate) name: String,
    pub(crate) ids: Vec<u32>,
}

/// The folder of stored outputs, and the folder of calibrated scales.
pub(crate) struct Reference {
    outputs: PathBuf,
    scales: PathBuf,
}

impl Reference {
    pub(crate) fn open(outputs: &Path, scales: &Path) -> Result<Self, Failure> {
        let reference = Self { outputs: outputs.into(), scales: scales.into() };
        reference.json("perplexity.json")?;
        Ok(reference)
    }

    pub(crate) fn json(&self, name: &str) -> Result<Value, Failure> {
        let path = self.outputs.join(name);
        let text = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(serde_json::from_slice(&text)?)
    }

    pub(crate) fn tensors(&self, name: &str) -> Result<Tensors, Failure> {
        Tensors::open(&self.outputs.join(format!("{name}.safetensors")))
    }

    pub(crate) fn scales(&self, name: &str) -> PathBuf {
        self.scales.join(name)
    }

    pub(crate) fn passages(&self) -> Result<Vec<Passage>, Failure> {
        let json = self.json("passages.json")?;
        let passages = json.as_object().ok_or("passages.json is no object")?;
        passages
            .iter()
            .map(|(name, passage)| Ok(Passage { name: name.clone(), ids: ids(&passage["ids"])? }))
            .collect()
    }
}

/// A JSON list of token ids.
pub(crate) fn ids(value: &Value) -> Result<Vec<u32>, Failure> {
    Ok(serde_json::from_value(value.clone())?)
}

/// A JSON list of numbers.
pub(crate) fn numbers(value: &Value) -> Result<Vec<f64>, Failure> {
    Ok(serde_json::from_value(value.clone())?)
}

/// The model directory.
pub(crate) struct Model {
    dir: PathBuf,
}

impl Model {
    pub(crate) fn open(dir: &Path) -> Result<Self, Failure> {
        Checkpoint::open(dir)?;
        Ok(Self { dir: dir.into() })
    }

    /// Where it is.
    #[allow(dead_code, reason = "calibration_check, which shares this file, uses it")]
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The model with that KV dtype, its scales 1.0 or those of a checkpoint of scales alone.
    pub(crate) fn load(&self, dtype: &str, scales: Option<&Path>) -> Result<Llm, Failure> {
        self.load_with(dtype, scales, AttnMath::Default)
    }

    /// The same, with other arithmetic in attention.
    pub(crate) fn load_with(
        &self,
        dtype: &str,
        scales: Option<&Path>,
        attn_math: AttnMath,
    ) -> Result<Llm, Failure> {
        let settings = EngineConfig {
            kv_cache_dtype: Some(dtype.parse()?),
            kv_cache_memory: Some(96 << 20),
            // The stored INT8 run used the E4M3 scales × 448/127.
            rescale: true,
            attn_math,
            ..EngineConfig::default()
        };
        match scales {
            None => Ok(Llm::load(&self.dir, settings)?),
            Some(scales) => {
                let checkpoint = self.checkpoint(scales)?;
                Ok(Llm::from_checkpoint("with scales".into(), &checkpoint, &settings)?)
            }
        }
    }

    /// The weights of one directory with the config and scales of another.
    pub(crate) fn checkpoint(&self, scales: &Path) -> Result<Checkpoint, Failure> {
        let files = [
            (self.dir.join("model.safetensors"), "model-00001-of-00002.safetensors"),
            (scales.join("scales.safetensors"), "model-00002-of-00002.safetensors"),
            (scales.join("config.json"), "config.json"),
        ];
        let mut out = Vec::new();
        for (path, name) in files {
            let bytes = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            out.push((name.to_owned(), Cow::Owned(bytes)));
        }
        Ok(Checkpoint::from_memory(out)?)
    }
}
