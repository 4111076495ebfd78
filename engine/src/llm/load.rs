//! From a checkpoint to an [`Llm`]: config, weights, scales, blocks, in that order, each checked
//! before the next.

use super::{EngineConfig, Llm, Warning};
use crate::Error;
use crate::assets;
use crate::cache::{CacheLayout, Capacity};
use crate::config::ModelConfig;
use crate::model::Decoder;
use crate::tokenizer::Tokenizer;
use crate::weights::Weights;
use kv_scales::{Checkpoint, KvDtype, KvDtypes};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::path::Path;

/// The cache never takes more than this unless it is asked to.
const MAX_DEFAULT_MEMORY: u64 = 2 << 30;
/// Sequences of full length the default cache has room for.
const DEFAULT_SEQUENCES: u64 = 4;

impl Llm {
    /// Loads a Hugging Face checkpoint directory.
    ///
    /// # Errors
    /// For everything that can be wrong with it or with the settings, before the first token: see
    /// the variants of [`Error`].
    pub fn load(path: impl AsRef<Path>, settings: EngineConfig) -> Result<Self, Error> {
        let path = path.as_ref();
        let checkpoint = Checkpoint::open(path)?;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Self::from_checkpoint(name, &checkpoint, settings)
    }

    /// Loads the model compiled into the binary. Its cache is FP8 unless the settings say.
    ///
    /// # Errors
    /// When the settings are out of range.
    pub fn embedded(mut settings: EngineConfig) -> Result<Self, Error> {
        settings.kv_cache_dtype.get_or_insert(KvDtypes::from(KvDtype::Fp8E4M3));
        let checkpoint = Checkpoint::from_memory(assets::files())?;
        Self::from_checkpoint(assets::NAME.into(), &checkpoint, settings)
    }

    /// Loads an open checkpoint.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_checkpoint(
        name: String,
        checkpoint: &Checkpoint,
        settings: EngineConfig,
    ) -> Result<Self, Error> {
        settings.validate()?;
        let config = checkpoint.config().ok_or(Error::NoConfig)?;
        let generation = checkpoint.json("generation_config.json")?;
        let config = ModelConfig::from_json(config, generation.as_ref())?;
        let weights = Weights::load(checkpoint, &config)?;
        let layout = CacheLayout::uniform(
            &config,
            settings.block_size,
            fp8_format::ElementType::F8E4M3,
            fp8_format::ElementType::F8E4M3,
        );
        let tokenizer = Tokenizer::from_checkpoint(checkpoint)?;
        let max_len = config.max_position_embeddings;
        let memory = settings.kv_cache_memory.unwrap_or_else(|| {
            let full = layout.bytes_per_token() * max_len as u64 * DEFAULT_SEQUENCES;
            // One block more: the null block.
            let null = layout.bytes_per_token() * layout.block_size() as u64;
            (full + null).min(MAX_DEFAULT_MEMORY.max(2 * null))
        });
        let capacity = Capacity::new(&layout, memory, max_len)?;
        let warnings = weights.unused().iter().map(unused_tensor).collect();
        let caches = layout.into_layers(capacity.config.num_blocks);
        let backend = attn_kernels::ReferenceBackend;
        let decoder = Decoder::new(config.clone(), weights, backend, caches)?;
        let mut llm =
            Self::with_executor(name, config, tokenizer, Box::new(decoder), capacity, &settings)?;
        llm.warnings = warnings;
        Ok(llm)
    }
}

fn unused_tensor(name: &String) -> Warning {
    Warning {
        code: "unused_tensor".into(),
        message: format!("tensor {name} is not used by this architecture"),
    }
}

/// A pool of exactly that many threads; `None` leaves the choice to the caller.
pub(super) fn thread_pool(num_threads: Option<usize>) -> Result<Option<ThreadPool>, Error> {
    let Some(num_threads) = num_threads else { return Ok(None) };
    ThreadPoolBuilder::new()
        .num_threads(num_threads)
        .thread_name(|i| format!("engine-{i}"))
        .build()
        .map(Some)
        .map_err(|e| Error::Threads { num_threads, message: e.to_string() })
}
