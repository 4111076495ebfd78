//! [`Llm`]: loads a model and generates over a batch of prompts.

mod calculate;
mod config;
mod generate;
mod load;
mod output;
mod score;
mod sequence;
mod steps;

pub use config::EngineConfig;
pub use load::scales;
pub(crate) use load::thread_pool;
pub use output::{CompletionOutput, Event, FinishReason, Prompt, RequestOutput, Warning};
pub use score::Scored;

use crate::Error;
use crate::cache::Capacity;
use crate::config::ModelConfig;
use crate::device::DeviceReport;
use crate::model::Executor;
use crate::tokenizer::Tokenizer;
use kv_scales::ResolvedScales;
use paged_cache::PagedCache;
use rayon::ThreadPool;
use steps::StepBuffers;

/// A model, its tokenizer, and a paged KV cache.
pub struct Llm {
    name: String,
    config: ModelConfig,
    tokenizer: Option<Tokenizer>,
    device: DeviceReport,
    executor: Box<dyn Executor>,
    cache: PagedCache,
    capacity: Capacity,
    kv_cache_dtype: String,
    /// `None` under an executor that was brought along.
    scales: Option<ResolvedScales>,
    warnings: Vec<Warning>,
    prefill_chunk: usize,
    max_num_seqs: usize,
    /// `None`: the ambient pool.
    pool: Option<ThreadPool>,
    buffers: StepBuffers,
    next_seq: u64,
}

impl Llm {
    /// Puts an executor under the engine: another model, another device. `capacity` must be what
    /// the executor has allocated; `config` is used for its limits and token ids only.
    ///
    /// # Errors
    /// When a setting is out of range, or the threads cannot be started.
    pub fn with_executor(
        name: impl Into<String>,
        config: ModelConfig,
        tokenizer: Option<Tokenizer>,
        executor: Box<dyn Executor>,
        capacity: Capacity,
        settings: &EngineConfig,
    ) -> Result<Self, Error> {
        settings.validate()?;
        Ok(Self {
            name: name.into(),
            config,
            tokenizer,
            device: DeviceReport::default(),
            executor,
            cache: PagedCache::new(capacity.config.clone())?,
            capacity,
            kv_cache_dtype: settings.kv_cache_dtype.map_or_else(String::new, |d| d.to_string()),
            scales: None,
            warnings: Vec::new(),
            prefill_chunk: settings.prefill_chunk,
            max_num_seqs: settings.max_num_seqs,
            pool: load::thread_pool(settings.num_threads)?,
            buffers: StepBuffers::default(),
            next_seq: 0,
        })
    }

    /// The directory's name, or the embedded model's.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The model's shape.
    #[must_use]
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The tokenizer, where the checkpoint has one.
    #[must_use]
    pub fn tokenizer(&self) -> Option<&Tokenizer> {
        self.tokenizer.as_ref()
    }

    /// What the model runs on; an executor that was brought along counts as the processor.
    #[must_use]
    pub fn device(&self) -> &DeviceReport {
        &self.device
    }

    /// How much the KV cache holds.
    #[must_use]
    pub fn capacity(&self) -> &Capacity {
        &self.capacity
    }

    /// What K and V are stored as, by canonical names; `auto` as what it became.
    #[must_use]
    pub fn kv_cache_dtype(&self) -> &str {
        &self.kv_cache_dtype
    }

    /// The scales of K and V, layer by layer, with where they came from; `None` under an executor
    /// that was brought along.
    #[must_use]
    pub fn scales(&self) -> Option<&ResolvedScales> {
        self.scales.as_ref()
    }

    /// What a user should know of this checkpoint and these settings.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

impl std::fmt::Debug for Llm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Llm")
            .field("name", &self.name)
            .field("kv_cache_dtype", &self.kv_cache_dtype)
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}
