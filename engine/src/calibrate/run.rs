//! Runs samples through the model, and turns what was seen into scales.

use super::attention::{Bounds, Trial};
use super::observed::{LayerObserver, Observed};
use super::report::{LayerReport, Report, TensorReport};
use super::{Method, Methods};
use crate::Error;
use crate::cache::CacheLayout;
use crate::config::ModelConfig;
use crate::device::{Device, DeviceReport, Opened};
use crate::llm::{EngineConfig, thread_pool};
use crate::model::{Executor, Kinds, Step};
use crate::weights::Weights;
use attn_kernels::{AttentionShape, Batch};
use kv_scales::observe::{Format, Observer, TensorObserver};
use kv_scales::scheme::Strategy;
use kv_scales::writer::{LayerScaleSet, ScaleSet};
use kv_scales::{Checkpoint, KvDtypes, ModelShape, ScaleValue, TensorDtype};
use rayon::ThreadPool;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

const BLOCK_SIZE: usize = 16;
/// Rows of a step: a longer sample takes several.
const STEP_ROWS: usize = 512;

/// What scales are wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// What K and V will be stored as: FP8 formats, or INT8 for both.
    pub dtypes: KvDtypes,
    /// One scale per tensor, or one per head.
    pub strategy: Strategy,
    /// How scales are chosen.
    pub methods: Methods,
    /// Find scales for Q too, in K's format.
    pub q: bool,
}

impl Target {
    /// The formats of K and of V.
    ///
    /// # Errors
    /// When one has no static scale, or only one of them is INT8: no config can say that.
    pub fn formats(&self) -> Result<(Format, Format), Error> {
        let KvDtypes { k, v } = self.dtypes;
        let formats = (Format::new(k)?, Format::new(v)?);
        if k.is_int8() != v.is_int8() {
            let message =
                format!("K as {k} and V as {v}: a checkpoint's config can only ask for one type");
            return Err(Error::Calibration { message });
        }
        Ok(formats)
    }
}

/// What a calibration found.
#[derive(Debug, Clone)]
pub struct Calibration {
    /// The scales, for [`kv_scales::writer::write_checkpoint`].
    pub scales: ScaleSet,
    /// The same for people, with how well they store what was seen.
    pub report: Report,
}

/// Runs samples through a model and keeps what scales are made of.
pub struct Calibrator {
    config: ModelConfig,
    /// A calibrator is shared between threads while scales are found; only samples need this.
    executor: Mutex<Box<dyn Executor>>,
    /// Of every layer.
    attention: Vec<AttentionShape>,
    device: DeviceReport,
    pool: Option<ThreadPool>,
    observed: Observed,
    stored_as: TensorDtype,
    max_seq_len: usize,
    samples: usize,
    tokens: u64,
}

impl Calibrator {
    /// Loads the weights of a checkpoint, with an f32 cache for one sample of at most
    /// `max_seq_len` tokens. With `whole_samples` a few samples are kept for
    /// [`Method::Attention`]: at most eight, at most 512 tokens of each.
    ///
    /// # Errors
    /// As [`Llm::load`](crate::Llm::load) for the checkpoint; when `max_seq_len` is 0 or beyond the
    /// model.
    pub fn new(
        checkpoint: &Checkpoint,
        max_seq_len: usize,
        whole_samples: bool,
        num_threads: Option<usize>,
    ) -> Result<Self, Error> {
        Self::on(Device::Cpu, checkpoint, max_seq_len, whole_samples, num_threads)
    }

    /// The same on a device. Where it stores no f32, the cache is f16.
    ///
    /// # Errors
    /// As [`new`](Self::new), and when there is no such device.
    pub fn on(
        device: Device,
        checkpoint: &Checkpoint,
        max_seq_len: usize,
        whole_samples: bool,
        num_threads: Option<usize>,
    ) -> Result<Self, Error> {
        EngineConfig { num_threads, ..EngineConfig::default() }.validate()?;
        let config = checkpoint.config().ok_or(Error::NoConfig)?;
        let stored_as = ModelShape::from_config(Some(config), &Default::default())?.dtype;
        let config = ModelConfig::from_json(config, None)?;
        let limit = config.max_position_embeddings;
        if max_seq_len == 0 || max_seq_len > limit {
            let message =
                format!("max_seq_len is {max_seq_len}, must be 1 to {limit}, the model's length");
            return Err(Error::Calibration { message });
        }
        let opened = Opened::new(device)?;
        let pool = thread_pool(num_threads)?;
        let weights = Arc::new(Weights::load(checkpoint, &config)?);
        let widest = device.widest_kv();
        let layout = CacheLayout::uniform(&config, BLOCK_SIZE, widest, widest);
        let attention = Kinds::new(&config, layout.layers().to_vec())?.attention_shapes();
        let caches = opened.layout(&config, layout)?.into_layers(max_seq_len.div_ceil(BLOCK_SIZE));
        let executor = Mutex::new(opened.decoder(&config, &weights, caches)?);
        let device = opened.report()?;
        let observed = Observed::new(&config, whole_samples);
        let stored_as = TensorDtype::of_model(stored_as);
        let (samples, tokens) = (0, 0);
        Ok(Self {
            config,
            executor,
            attention,
            device,
            pool,
            observed,
            stored_as,
            max_seq_len,
            samples,
            tokens,
        })
    }

    /// What samples run on.
    #[must_use]
    pub fn device(&self) -> &DeviceReport {
        &self.device
    }

    /// The model's shape.
    #[must_use]
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Samples observed so far, and their tokens.
    #[must_use]
    pub fn seen(&self) -> (usize, u64) {
        (self.samples, self.tokens)
    }

    /// Runs one sample and observes it.
    ///
    /// # Errors
    /// When it is empty, too long, or has unknown tokens: then nothing is observed. When an
    /// activation is not finite: then this calibrator is of no use any more.
    pub fn sample(&mut self, ids: &[u32]) -> Result<(), Error> {
        let (sample, limit) = (self.samples, self.max_seq_len);
        super::check_ids(sample, ids, limit, self.config.vocab_size)?;
        self.observed.begin(ids.len());
        let (mut batch, mut logits) = (Batch::new(), Vec::new());
        for start in (0..ids.len()).step_by(STEP_ROWS) {
            let rows = start..ids.len().min(start + STEP_ROWS);
            batch.clear();
            let blocks = rows.end.div_ceil(BLOCK_SIZE) as u32;
            batch.push(rows.len(), rows.end, 0..blocks);
            let step = Step {
                batch: &batch,
                tokens: &ids[rows.clone()],
                positions: &rows.clone().map(|p| p as u32).collect::<Vec<_>>(),
                slots: &rows.clone().map(|p| p as i64).collect::<Vec<_>>(),
                logits_rows: &[],
            };
            self.observed.step(rows);
            let Self { pool, executor, observed, .. } = self;
            let executor = executor.get_mut().unwrap_or_else(PoisonError::into_inner);
            let mut run = || executor.step(&step, observed, &mut logits);
            match pool {
                Some(pool) => pool.install(run)?,
                None => run()?,
            }
            self.observed.check()?;
        }
        self.observed.end();
        self.samples += 1;
        self.tokens += ids.len() as u64;
        Ok(())
    }

    /// The scales of a target. `go_on` is asked before every layer, with its number.
    ///
    /// # Errors
    /// When no sample was observed, the target cannot be written, a tensor was all zeros, or
    /// [`Method::Attention`] is asked of a calibrator that keeps no samples;
    /// [`Error::Interrupted`] once `go_on` says no.
    pub fn finish(
        &self,
        target: &Target,
        go_on: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Calibration, Error> {
        let formats = target.formats()?;
        let refuse = |message: &str| Err(Error::Calibration { message: message.to_owned() });
        if self.samples == 0 {
            return refuse("no sample was observed");
        }
        if target.methods.use_attention() && self.observed.kept.is_empty() {
            return refuse("the attention observer needs whole samples, and none were kept");
        }
        let (mut sets, mut layers) = (BTreeMap::new(), Vec::new());
        for (index, layer) in self.observed.layers.iter().enumerate() {
            if !go_on(index) {
                return Err(Error::Interrupted);
            }
            let find = || self.layer(layer, target, formats);
            let (set, report) = match &self.pool {
                Some(pool) => pool.install(find)?,
                None => find()?,
            };
            sets.insert(index, set);
            layers.push(report);
        }
        let scales = ScaleSet { dtypes: target.dtypes, stored_as: self.stored_as, layers: sets };
        let report = Report {
            kv_cache_dtype: target.dtypes.to_string(),
            strategy: match target.strategy {
                Strategy::Tensor => "tensor",
                Strategy::AttnHead => "attn_head",
            },
            observers: target.methods.to_string(),
            samples: self.samples,
            tokens: self.tokens,
            layers,
        };
        Ok(Calibration { scales, report })
    }

    fn layer(
        &self,
        layer: &LayerObserver,
        target: &Target,
        (k_format, v_format): (Format, Format),
    ) -> Result<(LayerScaleSet, LayerReport), Error> {
        let (index, methods) = (layer.k.layer(), target.methods);
        let by = |tensor: &TensorObserver, observer, format| {
            tensor.scales(observer, format, target.strategy)
        };
        // Where the attention observer is asked, this is its lower bound.
        let of = |tensor: &TensorObserver, method: Method, format: Format| match method {
            Method::Values(observer) => by(tensor, observer, format),
            Method::Attention => by(tensor, Observer::Mse, format),
        };
        let mut k = of(&layer.k, methods.k, k_format)?;
        let mut v = of(&layer.v, methods.v, v_format)?;
        let mut q = match target.q {
            true => Some(of(&layer.q, methods.q, k_format)?),
            false => None,
        };
        if methods.use_attention() {
            let (heads, width) = (self.config.num_kv_heads, self.config.head_dim);
            let attention = &self.attention[index];
            let trial = Trial::new(attention, heads, width, &self.observed.kept, index)?;
            if methods.k == Method::Attention {
                let full = &by(&layer.k, Observer::Absmax, k_format)?;
                k = trial.k(k_format, Bounds { full, floor: &k })?;
            }
            if methods.v == Method::Attention {
                let full = &by(&layer.v, Observer::Absmax, v_format)?;
                v = trial.v((k_format, &k), v_format, Bounds { full, floor: &v })?;
            }
            if let Some(q) = q.as_mut().filter(|_| methods.q == Method::Attention) {
                let full = &by(&layer.q, Observer::Absmax, k_format)?;
                *q = trial.q(k_format, Bounds { full, floor: q })?;
            }
        }
        let tensor = |seen: &TensorObserver, method: Method, format, used: &ScaleValue| {
            let stored = self.stored(format, used);
            let report = TensorReport::new(seen, method, format, &stored)?;
            Ok::<_, Error>((stored, report))
        };
        let (k, k_report) = tensor(&layer.k, methods.k, k_format, &k)?;
        let (v, v_report) = tensor(&layer.v, methods.v, v_format, &v)?;
        let (q, q_report) = match q {
            Some(q) => {
                let (q, report) = tensor(&layer.q, methods.q, k_format, &q)?;
                (Some(q), Some(report))
            }
            None => (None, None),
        };
        let report = LayerReport { layer: index, q: q_report, k: k_report, v: v_report };
        Ok((LayerScaleSet { q, k, v, prob: None }, report))
    }

    /// A scale as a checkpoint will hold it: of the model's type, halved for FNUZ.
    fn stored(&self, format: Format, used: &ScaleValue) -> ScaleValue {
        let factor = format.checkpoint_factor();
        let stored = |used: &f32| self.stored_as.rounded(used * factor);
        match used {
            ScaleValue::PerHead(values) => ScaleValue::PerHead(values.iter().map(stored).collect()),
            other => ScaleValue::PerTensor(other.values().first().map_or(1.0, stored)),
        }
    }

    /// The scales of one observer for one tensor of a layer, in f32 and as used: what
    /// [`finish`](Self::finish) rounds to what a checkpoint stores.
    ///
    /// # Errors
    /// As [`TensorObserver::scales`]; when there is no such layer or tensor.
    pub fn exact_scales(
        &self,
        layer: usize,
        slot: kv_scales::Slot,
        observer: Observer,
        format: Format,
        strategy: Strategy,
    ) -> Result<ScaleValue, Error> {
        let layers = &self.observed.layers;
        let tensor = layers.get(layer).and_then(|layer| match slot {
            kv_scales::Slot::Q => Some(&layer.q),
            kv_scales::Slot::K => Some(&layer.k),
            kv_scales::Slot::V => Some(&layer.v),
            kv_scales::Slot::Prob => None,
        });
        let missing = || Error::Calibration { message: format!("no {slot} in layer {layer}") };
        Ok(tensor.ok_or_else(missing)?.scales(observer, format, strategy)?)
    }
}
