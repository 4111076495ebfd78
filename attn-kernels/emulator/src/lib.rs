//! A software CUDA device: runs PTX on the CPU, warp by warp, with the checks of a GPU sanitizer and
//! the counts of a profiler.

// Until the front end and the machine use all of it.
#[allow(dead_code, unused_imports)]
mod isa;
// Until the driver loads modules with it.
#[allow(dead_code)]
mod ptx;

pub use ptx::{Place, PtxError};
