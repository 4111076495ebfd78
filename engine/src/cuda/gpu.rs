//! A GPU of this system, opened: the backend, and the weights that decoders on it share.

use std::sync::{Arc, Mutex, PoisonError};

use attn_kernels::cuda::{CudaBackend, CudaDevice, CudaMemory};

use super::cublaslt::CublasLt;
use super::gemm::Library;
use super::{CudaDecoder, CudaWeights, MODULES};
use crate::Error;
use crate::cache::{CacheLayout, LayerCache};
use crate::config::ModelConfig;
use crate::device::{DeviceReport, Linears};
use crate::model::Executor;
use crate::weights::Weights;

pub(crate) struct Gpu {
    ordinal: usize,
    backend: Arc<CudaBackend<CudaDevice>>,
    /// `None`: our own kernel computes linear layers.
    library: Option<Arc<dyn Library>>,
    /// Uploaded with the first decoder. A later one whose heads are as wide uses them too.
    weights: Mutex<Option<Arc<CudaWeights<CudaMemory>>>>,
}

impl Gpu {
    /// Finds the driver, the device and, where it is asked for, the library.
    pub(crate) fn open(ordinal: usize, linears: Linears) -> Result<Self, Error> {
        let device = CudaDevice::with_modules(ordinal, MODULES)?;
        let set_up = || CublasLt::new(device.clone());
        let library = match linears {
            // One that is installed and cannot be used, of another CUDA say, is as good as none:
            // the report says which it was.
            Linears::Auto => CublasLt::is_present().then(set_up).and_then(Result::ok),
            Linears::Mma => None,
            Linears::CublasLt => Some(set_up()?),
        };
        let library = library.map(|library| Arc::new(library) as Arc<dyn Library>);
        let backend = Arc::new(CudaBackend::new(device));
        Ok(Self { ordinal, backend, library, weights: Mutex::new(None) })
    }

    /// The same storage with heads as wide as they are on the device; refuses what it cannot store.
    pub(crate) fn layout(
        &self,
        config: &ModelConfig,
        layout: CacheLayout,
    ) -> Result<CacheLayout, Error> {
        let head_dim = super::head_dim(self.backend.as_ref(), config, layout.layers())?;
        Ok(layout.with_head_dim(head_dim))
    }

    /// A decoder whose caches are as [`layout`](Self::layout) made them.
    pub(crate) fn decoder(
        &self,
        config: &ModelConfig,
        weights: &Weights,
        caches: Vec<LayerCache>,
    ) -> Result<Box<dyn Executor>, Error> {
        let head_dim = caches.first().map_or(config.head_dim, |layer| layer.shape.head_dim);
        let mut shared = self.weights.lock().unwrap_or_else(PoisonError::into_inner);
        let known = shared.take().filter(|known| known.head_dim() == head_dim);
        let weights = match known {
            Some(known) => known,
            None => {
                self.check_memory(weights, &caches)?;
                Arc::new(CudaWeights::upload(self.backend.as_ref(), config, weights, head_dim)?)
            }
        };
        *shared = Some(Arc::clone(&weights));
        let backend = Arc::clone(&self.backend);
        let decoder = CudaDecoder::new(config.clone(), weights, backend, caches)?;
        Ok(Box::new(decoder.with_library(self.library.clone())))
    }

    /// Refuses, before anything is allocated, what cannot fit.
    fn check_memory(&self, weights: &Weights, caches: &[LayerCache]) -> Result<(), Error> {
        let cache: usize = caches.iter().map(|layer| layer.shape.bytes()).sum();
        let need = weights.matrix_bytes().saturating_add(cache);
        let (free, _) = self.backend.driver().memory_info()?;
        match need > free {
            true => Err(attn_kernels::Error::DeviceMemory { need, free }.into()),
            false => Ok(()),
        }
    }

    pub(crate) fn report(&self) -> Result<DeviceReport, Error> {
        let device = self.backend.driver();
        let arch = device.module_arch("linear")?;
        Ok(DeviceReport {
            device: format!("cuda:{}", self.ordinal),
            name: Some(device.name().to_owned()),
            arch: arch.map(str::to_owned),
            linears: match self.library {
                Some(_) => Linears::CublasLt.name(),
                None => Linears::Mma.name(),
            },
        })
    }
}
