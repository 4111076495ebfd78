//! Attention on a CUDA device, through any [`Driver`]: the same kernels and the same host code on
//! a GPU and on an emulated one. With the feature `cuda` there is one, `CudaDevice`: whatever GPU the
//! system's driver has, by the PTX that is compiled in.
//!
//! The kernels are in `cuda/`; their README says how they work and what is known about them.

mod argument;
mod backend;
#[cfg(feature = "cuda")]
mod device;
mod driver;
mod kept;
pub(crate) mod modules;
mod names;
mod tensor;
mod waves;
mod work;

pub use argument::Argument;
pub use backend::CudaBackend;
#[cfg(feature = "nvrtc")]
pub use device::Compiler;
#[cfg(feature = "cuda")]
pub use device::{CudaDevice, CudaMemory, CudaPinned, PtxModule};
pub use driver::{Driver, Launch};
pub use tensor::{CudaBuffer, CudaTensor};
