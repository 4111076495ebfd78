//! From a checkpoint to an [`Llm`]: config, weights, scales, blocks, in that order, each checked
//! before the next.

use super::steps::StepBuffers;
use super::{EngineConfig, Llm, Warning, calculate};
use crate::Error;
use crate::assets;
use crate::cache::{CacheLayout, Capacity};
use crate::config::ModelConfig;
use crate::device::Opened;
use crate::tokenizer::Tokenizer;
use crate::weights::Weights;
use fp8_format::ElementType;
use kv_scales::{
    Checkpoint, GivenShape, KvDtype, KvDtypes, ResolveOptions, ResolvedScales, resolve,
};
use paged_cache::PagedCache;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::path::Path;
use std::sync::Arc;

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
    #[expect(clippy::needless_pass_by_value, reason = "callers build the settings in place")]
    pub fn load(path: impl AsRef<Path>, settings: EngineConfig) -> Result<Self, Error> {
        let path = path.as_ref();
        let checkpoint = Checkpoint::open(path)?;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Self::from_checkpoint(name, &checkpoint, &settings)
    }

    /// Loads the model compiled into the binary. Its cache is FP8 unless the settings say.
    ///
    /// # Errors
    /// When the settings are out of range.
    pub fn embedded(mut settings: EngineConfig) -> Result<Self, Error> {
        settings.kv_cache_dtype.get_or_insert(KvDtypes::from(KvDtype::Fp8E4M3));
        let checkpoint = Checkpoint::from_memory(assets::files())?;
        Self::from_checkpoint(assets::NAME.into(), &checkpoint, &settings)
    }

    /// Loads an open checkpoint.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_checkpoint(
        name: String,
        checkpoint: &Checkpoint,
        settings: &EngineConfig,
    ) -> Result<Self, Error> {
        Self::with_scales(name, checkpoint, checkpoint, settings)
    }

    /// Loads the weights of one checkpoint with the KV scales of another, which need not hold
    /// weights, to compare scales. `auto` is what that one asks for.
    ///
    /// # Errors
    /// As [`load`](Self::load); the scales must fit the weights' layers and heads.
    pub fn with_scales(
        name: String,
        checkpoint: &Checkpoint,
        scales: &Checkpoint,
        settings: &EngineConfig,
    ) -> Result<Self, Error> {
        let Loaded { device, config, weights, scales, pool } =
            loaded(checkpoint, scales, settings)?;
        let layout = CacheLayout::resolved(&config, settings.block_size, &scales)?
            .with_math(settings.attn_math)?;
        let layout = device.layout(&config, layout)?;
        let tokenizer = Tokenizer::from_checkpoint(checkpoint)?;
        let max_len = config.max_position_embeddings;
        let memory = settings.kv_cache_memory.unwrap_or_else(|| default_memory(&layout, max_len));
        let capacity = Capacity::new(&layout, memory, max_len)?;
        let unused = weights.unused().iter().map(unused_tensor);
        let warnings = scales.warnings().iter().map(Warning::from).chain(unused).collect();
        let caches = layout.into_layers(capacity.config.num_blocks);
        let executor = device.decoder(&config, &weights, caches)?;
        Ok(Self {
            name,
            config,
            tokenizer,
            device: device.report()?,
            executor,
            cache: PagedCache::new(capacity.config.clone())?,
            capacity,
            kv_cache_dtype: scales.dtypes().to_string(),
            scales: Some(scales),
            warnings,
            prefill_chunk: settings.prefill_chunk,
            max_num_seqs: settings.max_num_seqs,
            pool,
            buffers: StepBuffers::default(),
            next_seq: 0,
        })
    }
}

/// The KV scales that a checkpoint runs with under these settings; calculated, if they say so.
///
/// # Errors
/// As [`Llm::load`], cache and tokenizer apart, which are not looked at.
pub fn scales(checkpoint: &Checkpoint, settings: &EngineConfig) -> Result<ResolvedScales, Error> {
    loaded(checkpoint, checkpoint, settings).map(|loaded| loaded.scales)
}

/// What there is before a cache.
struct Loaded {
    device: Opened,
    config: ModelConfig,
    weights: Arc<Weights>,
    scales: ResolvedScales,
    pool: Option<ThreadPool>,
}

fn loaded(
    checkpoint: &Checkpoint,
    scales: &Checkpoint,
    settings: &EngineConfig,
) -> Result<Loaded, Error> {
    settings.validate()?;
    let device = Opened::new(settings.device)?;
    let pool = thread_pool(settings.num_threads)?;
    let config = checkpoint.config().ok_or(Error::NoConfig)?;
    let generation = checkpoint.json("generation_config.json")?;
    let config = ModelConfig::from_json(config, generation.as_ref())?;
    let weights = Arc::new(Weights::load(checkpoint, &config)?);
    let dtype = config.dtype.unwrap_or(weights.element_type());
    let scales = resolve(scales, &resolve_options(&config, dtype, settings))?;
    let scales = match scales.into_pending() {
        Ok(pending) => {
            let widest = settings.device.widest_kv();
            let fix = || {
                let seed = settings.calculate_seed;
                calculate::fix(pending, &config, (&device, widest), &weights, seed)
            };
            match &pool {
                Some(pool) => pool.install(fix)?,
                None => fix()?,
            }
        }
        Err(known) => known,
    };
    Ok(Loaded { device, config, weights, scales, pool })
}

fn resolve_options(
    config: &ModelConfig,
    dtype: ElementType,
    settings: &EngineConfig,
) -> ResolveOptions {
    ResolveOptions {
        dtype: settings.kv_cache_dtype.unwrap_or_default(),
        model_dtype: Some(match dtype {
            ElementType::F16 => KvDtype::F16,
            ElementType::Bf16 => KvDtype::Bf16,
            _ => KvDtype::F32,
        }),
        shape: GivenShape {
            num_layers: Some(config.num_layers),
            num_heads: Some(config.num_heads),
            num_kv_heads: Some(config.num_kv_heads),
        },
        calculate_kv_scales: settings.calculate_kv_scales,
        strict: settings.strict,
        rescale: settings.rescale,
        math_uses: settings.math_uses(),
        ..ResolveOptions::default()
    }
}

/// Room for four sequences of full length, and one block more: the null block.
fn default_memory(layout: &CacheLayout, max_len: usize) -> u64 {
    let block = layout.bytes_per_token() * layout.block_size() as u64;
    let full = layout.bytes_per_token() * max_len as u64 * DEFAULT_SEQUENCES;
    (full + block).min(MAX_DEFAULT_MEMORY.max(2 * block))
}

fn unused_tensor(name: &String) -> Warning {
    Warning {
        code: "unused_tensor".into(),
        message: format!("tensor {name} is not used by this architecture"),
    }
}

/// A pool of exactly that many threads; `None` leaves the choice to the caller.
pub(crate) fn thread_pool(num_threads: Option<usize>) -> Result<Option<ThreadPool>, Error> {
    let Some(num_threads) = num_threads else { return Ok(None) };
    ThreadPoolBuilder::new()
        .num_threads(num_threads)
        .thread_name(|i| format!("engine-{i}"))
        .build()
        .map(Some)
        .map_err(|e| Error::Threads { num_threads, message: e.to_string() })
}
