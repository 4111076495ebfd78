//! Where a model runs: the processor, or a CUDA device.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use attn_kernels::CpuBackend;
use fp8_format::ElementType;
use serde::Serialize;

use crate::Error;
use crate::cache::{CacheLayout, LayerCache};
use crate::config::ModelConfig;
use crate::model::{Decoder, Executor};
use crate::weights::Weights;

/// A device: `cpu`, `cuda` (the first), `cuda:1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// A CUDA device, where the crate was built with the feature `cuda`.
    Cuda {
        /// Its number, from 0.
        ordinal: usize,
        /// What computes linear layers there.
        linears: Linears,
    },
}

/// What computes linear layers on a CUDA device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Linears {
    /// cublasLt where it is installed, else our own kernel.
    #[default]
    Auto,
    /// Our own kernel: a row's results do not depend on the batch.
    Mma,
    /// NVIDIA's library.
    CublasLt,
}

impl Linears {
    /// `auto`, `mma` or `cublaslt`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Mma => "mma",
            Self::CublasLt => "cublaslt",
        }
    }
}

impl FromStr for Linears {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let found = [Self::Auto, Self::Mma, Self::CublasLt].into_iter().find(|l| l.name() == name);
        found.ok_or_else(|| Error::Setting {
            name: "linears",
            value: name.into(),
            limit: "auto, mma or cublaslt",
        })
    }
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let ordinal = match name {
            "cpu" => return Ok(Self::Cpu),
            "cuda" => Some(0),
            _ => name.strip_prefix("cuda:").and_then(|ordinal| ordinal.parse().ok()),
        };
        match ordinal {
            Some(ordinal) => Ok(Self::Cuda { ordinal, linears: Linears::Auto }),
            None => Err(Error::Setting {
                name: "device",
                value: name.into(),
                limit: "cpu, cuda or cuda:N",
            }),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.pad("cpu"),
            Self::Cuda { ordinal, .. } => f.pad(&format!("cuda:{ordinal}")),
        }
    }
}

impl Device {
    /// The type that stands for "not quantized" in a KV cache here: f32, and on CUDA, which stores no
    /// f32, f16.
    #[must_use]
    pub const fn widest_kv(self) -> ElementType {
        match self {
            Self::Cpu => ElementType::F32,
            Self::Cuda { .. } => ElementType::F16,
        }
    }

    /// Refuses a type of K or V that the device cannot store, before anything is loaded.
    ///
    /// # Errors
    /// [`Error::Attention`], which names it.
    pub fn check_storage(self, stored: ElementType) -> Result<(), Error> {
        use ElementType::{Bf16, F8E4M3, F8E5M2, F16, Int8};
        match self {
            Self::Cuda { .. } if ![F16, Bf16, F8E4M3, F8E5M2, Int8].contains(&stored) => {
                let what = format!("{} storage", stored.name());
                Err(attn_kernels::Error::Unsupported { backend: "cuda", what }.into())
            }
            _ => Ok(()),
        }
    }
}

/// What a model runs on, for reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DeviceReport {
    /// `cpu`, `cuda:0`.
    pub device: String,
    /// What the device calls itself; `None` for the processor.
    pub name: Option<String>,
    /// The architecture that its kernels were compiled for, `sm_90a`; `None` for the processor.
    pub arch: Option<String>,
    /// What computes linear layers: `cpu`, `mma` (our own kernel) or `cublaslt`.
    pub linears: &'static str,
}

impl Default for DeviceReport {
    /// The processor.
    fn default() -> Self {
        Self { device: "cpu".into(), name: None, arch: None, linears: "cpu" }
    }
}

impl fmt::Display for DeviceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.device)?;
        if let (Some(name), Some(arch)) = (&self.name, &self.arch) {
            write!(f, " ({name}, {arch}, linear layers by {})", self.linears)?;
        }
        Ok(())
    }
}

/// A device that is there.
pub(crate) enum Opened {
    Cpu,
    #[cfg(feature = "cuda")]
    Cuda(crate::cuda::Gpu),
}

impl Opened {
    /// Finds a device.
    ///
    /// # Errors
    /// [`Error::NoBackend`] where this build has none; what the driver says.
    pub(crate) fn new(device: Device) -> Result<Self, Error> {
        match device {
            Device::Cpu => Ok(Self::Cpu),
            #[cfg(feature = "cuda")]
            Device::Cuda { ordinal, linears } => {
                Ok(Self::Cuda(crate::cuda::Gpu::open(ordinal, linears)?))
            }
            #[cfg(not(feature = "cuda"))]
            Device::Cuda { .. } => Err(Error::NoBackend { device: device.to_string() }),
        }
    }

    /// A layout as the device stores it.
    ///
    /// # Errors
    /// When it cannot.
    #[cfg_attr(
        not(feature = "cuda"),
        expect(clippy::unnecessary_wraps, reason = "a GPU can refuse")
    )]
    pub(crate) fn layout(
        &self,
        config: &ModelConfig,
        layout: CacheLayout,
    ) -> Result<CacheLayout, Error> {
        let _ = config;
        match self {
            Self::Cpu => Ok(layout),
            #[cfg(feature = "cuda")]
            Self::Cuda(gpu) => gpu.layout(config, layout),
        }
    }

    /// A decoder over caches of a layout that [`layout`](Self::layout) gave.
    pub(crate) fn decoder(
        &self,
        config: &ModelConfig,
        weights: &Arc<Weights>,
        caches: Vec<LayerCache>,
    ) -> Result<Box<dyn Executor>, Error> {
        match self {
            Self::Cpu => {
                let (config, weights) = (config.clone(), Arc::clone(weights));
                Ok(Box::new(Decoder::new(config, weights, CpuBackend::new(), caches)?))
            }
            #[cfg(feature = "cuda")]
            Self::Cuda(gpu) => gpu.decoder(config, weights, caches),
        }
    }

    /// What it is.
    #[cfg_attr(not(feature = "cuda"), expect(clippy::unnecessary_wraps, reason = "a GPU is asked"))]
    pub(crate) fn report(&self) -> Result<DeviceReport, Error> {
        match self {
            Self::Cpu => Ok(DeviceReport::default()),
            #[cfg(feature = "cuda")]
            Self::Cuda(gpu) => gpu.report(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        let cuda = |ordinal| Device::Cuda { ordinal, linears: Linears::Auto };
        for (name, device) in [("cpu", Device::Cpu), ("cuda", cuda(0)), ("cuda:3", cuda(3))] {
            assert_eq!(name.parse::<Device>().unwrap(), device);
        }
        assert_eq!(cuda(2).to_string(), "cuda:2");
        for bad in ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "CUDA"] {
            let error = bad.parse::<Device>().unwrap_err().to_string();
            assert!(error.contains("cpu, cuda or cuda:N"), "{error}");
        }
        for linears in [Linears::Auto, Linears::Mma, Linears::CublasLt] {
            assert_eq!(linears.name().parse::<Linears>().unwrap(), linears);
        }
        assert!("cublas".parse::<Linears>().is_err());
    }
}
