//! The decoder on a CUDA device: weights, activations and KV blocks stay there, and logits come back.
//!
//! [`CudaDecoder`] is written against [`Driver`], so it runs on whatever implements that; with the
//! feature `cuda` the crate has its kernels compiled in and [`crate::Device::Cuda`] runs them on the
//! system's GPU. Attention and the cache are [`CudaBackend`]'s; the rest of a step is five small
//! kernels of this crate (`engine/cuda`, shipped as PTX in `engine/ptx`).
//!
//! # Accuracy
//! Activations are f32, as on the CPU. Tensor cores take no f32, so a linear layer multiplies sums of
//! bf16 parts and adds in f32: three parts of an activation by one part of a bf16 weight, two of an
//! f16, three of an f32, without the products that f32 would round away. Attention rounds Q and the
//! weights of V to 16 bits (`attn-kernels/cuda/README.md`), so logits differ from the CPU's by about
//! what an f16 cache costs.
//!
//! # Invariance
//! Every sum has an order that depends on the model alone, so a row's logits have the same bits alone
//! and in a batch, prefilled and decoded. With linear layers by cublasLt that does not hold.
//!
//! # What is filled up
//! There are attention kernels for heads of 64, 96, 128 and 256. Others stand in the next of those,
//! filled up with zeros: results are the same, and the cache holds the wider heads.

mod decoder;
mod gemm;
mod ops;
mod scratch;
mod weights;

pub use decoder::CudaDecoder;
pub use weights::CudaWeights;

use attn_kernels::Batch;
use attn_kernels::cuda::{CudaBackend, Driver};

use crate::Error;
use crate::cache::LayerCache;
use crate::config::ModelConfig;
use crate::model::{Kinds, plans};

#[cfg(feature = "cuda")]
mod cublaslt;
#[cfg(feature = "cuda")]
mod gpu;
#[cfg(feature = "cuda")]
mod shipped;
#[cfg(all(test, feature = "cuda"))]
mod tests;

#[cfg(feature = "cuda")]
pub(crate) use gpu::Gpu;
#[cfg(feature = "cuda")]
pub use shipped::MODULES;

/// The widths of heads that attention may have kernels for.
const HEAD_DIMS: [usize; 4] = [64, 96, 128, 256];

/// The width of a model's heads on a device: the least for which it can store and attend to layers
/// like these.
///
/// # Errors
/// Why it cannot with the least of them: a type it does not store, no kernel for a shape.
pub fn head_dim<D: Driver>(
    backend: &CudaBackend<D>,
    config: &ModelConfig,
    layers: &[LayerCache],
) -> Result<usize, Error> {
    let mut refused = None;
    for head_dim in HEAD_DIMS.into_iter().filter(|&d| d >= config.head_dim) {
        let mut layers = layers.to_vec();
        layers.iter_mut().for_each(|layer| layer.shape.head_dim = head_dim);
        let planned = Kinds::new(config, layers)
            .and_then(|kinds| plans(backend, &kinds.kinds, &Batch::new()));
        match planned {
            Ok(_) => return Ok(head_dim),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    Err(refused.unwrap_or_else(|| {
        let message = format!("is {}, at most 256 on a CUDA device", config.head_dim);
        Error::Config { field: "head_dim".into(), message }
    }))
}
