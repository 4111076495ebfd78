//! Attention on a CUDA device, through any [`Driver`]: the same kernels and the same host code on
//! a GPU and on an emulated one. It knows no driver and no PTX.
//!
//! The kernels are in `cuda/`; their README says how they work and what is known about them.

mod argument;
mod backend;
mod driver;
pub(crate) mod modules;
mod names;
mod tensor;
mod waves;
mod work;

pub use backend::CudaBackend;
pub use driver::{Driver, Launch};
pub use tensor::{CudaBuffer, CudaTensor};
pub(crate) use work::Work;
