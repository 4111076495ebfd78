//! Options that several subcommands share, and what they stand for.

use std::path::{Path, PathBuf};

use attn_kernels::AttnMath;
use clap::Args;
use engine::device::{Device, Linears};
use engine::llm::{EngineConfig, Llm};
use kv_scales::{Checkpoint, KvDtype, KvDtypes, ResolveOptions, ResolvedScales};

use crate::bytes::ByteSize;
use crate::failure::Failure;

/// Which model.
#[derive(Args)]
pub(crate) struct ModelArgs {
    /// Hugging Face checkpoint directory [default: the model compiled into this program]
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
}

impl ModelArgs {
    /// What the model is called in reports.
    pub(crate) fn name(&self) -> String {
        match &self.model {
            Some(dir) => dir.display().to_string(),
            None => engine::assets::NAME.to_owned(),
        }
    }

    pub(crate) fn dir(&self) -> Option<&Path> {
        self.model.as_deref()
    }

    pub(crate) fn open(&self) -> Result<Checkpoint, Failure> {
        Ok(match &self.model {
            Some(dir) => Checkpoint::open(dir)?,
            None => Checkpoint::from_memory(engine::assets::files())?,
        })
    }

    /// The dtype an option named, or the default: `fp8` for the embedded model, which is there to
    /// show it, else `auto`.
    pub(crate) fn dtypes(&self, name: Option<&str>) -> Result<KvDtypes, Failure> {
        match name {
            Some(name) => Ok(name.parse()?),
            None if self.model.is_none() => Ok(KvDtype::Fp8E4M3.into()),
            None => Ok(KvDtype::Auto.into()),
        }
    }
}

/// Where the model runs.
#[derive(Args, Clone, Copy)]
pub(crate) struct DeviceArgs {
    /// Where to run: cpu, cuda, or cuda:N
    #[arg(long, value_name = "DEVICE", default_value_t = Device::Cpu)]
    device: Device,
    /// What computes linear layers on a CUDA device: mma (our own kernel), cublaslt, or auto, which
    /// is cublaslt where it is installed [default: auto]
    #[arg(long, value_name = "NAME")]
    linears: Option<Linears>,
}

impl DeviceArgs {
    /// The device; refuses options that it has no use for.
    pub(crate) fn device(self) -> Result<Device, Failure> {
        match (self.device, self.linears) {
            (Device::Cpu, Some(linears)) => Err(Failure::LinearsOfCpu { linears: linears.name() }),
            (Device::Cuda { ordinal, .. }, Some(linears)) => Ok(Device::Cuda { ordinal, linears }),
            (device, None) => Ok(device),
        }
    }
}

/// How the engine is set up.
#[derive(Args)]
pub(crate) struct EngineArgs {
    /// Tokens per block of the KV cache: a power of two, 8 to 256
    #[arg(long, value_name = "N", default_value_t = 16)]
    block_size: usize,
    /// Memory for the KV cache: 8GiB, 512MiB, … [default: four sequences of full length, 2GiB at
    /// most]
    #[arg(long, value_name = "SIZE")]
    kv_cache_memory: Option<ByteSize>,
    /// Threads [default: one per core]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    calculate: CalculateArgs,
    #[command(flatten)]
    scales: ScaleArgs,
}

/// Scales from random tokens.
#[derive(Args, Clone, Copy)]
pub(crate) struct CalculateArgs {
    /// Calculate the KV scales from one batch of random tokens, instead of using the checkpoint's
    #[arg(long)]
    pub(crate) calculate_kv_scales: bool,
    /// Which random tokens: the same seed gives the same scales
    #[arg(long, value_name = "N", default_value_t = 0, requires = "calculate_kv_scales")]
    calculate_seed: u64,
}

/// What to do with a checkpoint's scales that cannot be used as they are.
#[derive(Args)]
pub(crate) struct ScaleArgs {
    /// Warn about KV scales that are invalid or would be dropped, instead of failing
    #[arg(long)]
    lenient: bool,
    /// Convert KV scales that were calibrated for another format (E4M3 to INT8: × 448/127)
    #[arg(long)]
    rescale: bool,
    /// The arithmetic of attention: `default`, `fp8_q` (Q in FP8), `fp8` (Q and P in FP8), or
    /// `int8` (integers, for an INT8 cache)
    #[arg(long, value_name = "MATH", default_value_t = AttnMath::Default)]
    attn_math: AttnMath,
}

impl ScaleArgs {
    /// How the scales of a cache of these dtypes are resolved.
    pub(crate) fn options(&self, dtype: KvDtypes) -> ResolveOptions {
        let Self { lenient, rescale, attn_math } = *self;
        let math_uses = EngineConfig { attn_math, ..EngineConfig::default() }.math_uses();
        ResolveOptions { dtype, strict: !lenient, rescale, math_uses, ..ResolveOptions::default() }
    }
}

impl CalculateArgs {
    /// The scales a model runs with, calculated if that was asked for.
    pub(crate) fn scales(
        self,
        checkpoint: &Checkpoint,
        dtypes: KvDtypes,
        scales: &ScaleArgs,
    ) -> Result<ResolvedScales, Failure> {
        Ok(engine::llm::scales(checkpoint, &self.config(dtypes, scales))?)
    }

    fn config(self, dtypes: KvDtypes, scales: &ScaleArgs) -> EngineConfig {
        EngineConfig {
            kv_cache_dtype: Some(dtypes),
            calculate_kv_scales: self.calculate_kv_scales,
            calculate_seed: self.calculate_seed,
            strict: !scales.lenient,
            rescale: scales.rescale,
            attn_math: scales.attn_math,
            ..EngineConfig::default()
        }
    }
}

impl EngineArgs {
    /// How the KV scales are resolved.
    pub(crate) fn resolve_options(&self, dtype: KvDtypes) -> ResolveOptions {
        let calculate_kv_scales = self.calculate.calculate_kv_scales;
        ResolveOptions { calculate_kv_scales, ..self.scales.options(dtype) }
    }

    fn config(&self, dtypes: KvDtypes, attn_math: AttnMath) -> Result<EngineConfig, Failure> {
        Ok(EngineConfig {
            device: self.device.device()?,
            block_size: self.block_size,
            kv_cache_memory: self.kv_cache_memory.map(|size| size.0),
            num_threads: self.threads,
            attn_math,
            ..self.calculate.config(dtypes, &self.scales)
        })
    }

    /// Where the model runs.
    pub(crate) fn device(&self) -> Result<Device, Failure> {
        self.device.device()
    }

    /// The arithmetic of attention that was asked for.
    pub(crate) fn attn_math(&self) -> AttnMath {
        self.scales.attn_math
    }

    /// Loads the model with a KV cache of these dtypes.
    pub(crate) fn load(&self, model: &ModelArgs, dtypes: KvDtypes) -> Result<Llm, Failure> {
        self.load_with(model, dtypes, self.attn_math())
    }

    /// The same with arithmetic that may not be what was asked for.
    pub(crate) fn load_with(
        &self,
        model: &ModelArgs,
        dtypes: KvDtypes,
        attn_math: AttnMath,
    ) -> Result<Llm, Failure> {
        let config = self.config(dtypes, attn_math)?;
        Ok(match model.dir() {
            Some(dir) => Llm::load(dir, config)?,
            None => Llm::embedded(config)?,
        })
    }

    /// Loads the model with the scales of another checkpoint, as what those are for.
    pub(crate) fn load_with_scales(
        &self,
        model: &ModelArgs,
        scales: &Checkpoint,
    ) -> Result<Llm, Failure> {
        let config = self.config(KvDtype::Auto.into(), self.attn_math())?;
        Ok(Llm::with_scales(model.name(), &model.open()?, scales, &config)?)
    }
}
