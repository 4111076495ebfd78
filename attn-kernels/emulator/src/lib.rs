//! A software CUDA device: runs PTX on the CPU, warp by warp, with the checks of a GPU sanitizer and
//! the counts of a profiler.

// Until the front end and the machine use all of it.
#![allow(dead_code, unused_imports)]

mod check;
mod count;
mod device;
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
