//! A software CUDA device: runs PTX on the CPU, warp by warp, with the checks of a GPU sanitizer and
//! the counts of a profiler.

mod check;
mod count;
mod device;
// Its owner removes this when the driver is whole.
#[allow(dead_code, unused_imports)]
pub mod driver;
mod exec;
mod isa;
mod mem;
mod num;
mod ptx;

pub use check::{AllocationInfo, Fault, FaultKind};
pub use count::{
    Class, ClassCount, Counters, GlobalTraffic, Limiter, Occupancy, SharedTraffic, Site, occupancy,
};
pub use device::{
    Checks, Device, DeviceConfig, DevicePtr, Error, Kernel, LaunchConfig, LaunchReport, Module,
    Params, Profile,
};
pub use ptx::{Place, PtxError};
