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

/// Until the front end is in: every text is refused.
mod ptx {
    /// Why a text was refused.
    #[derive(Debug, Clone, thiserror::Error)]
    #[error("{0}: no front end")]
    pub(crate) struct PtxError(String);

    pub(crate) fn parse(name: &str, _source: &str) -> Result<crate::isa::Code, PtxError> {
        Err(PtxError(name.to_owned()))
    }
}

pub use check::{AllocationInfo, Fault, FaultKind};
pub use count::{
    Class, ClassCount, Counters, GlobalTraffic, Limiter, Occupancy, SharedTraffic, Site, occupancy,
};
pub use device::{
    Checks, Device, DeviceConfig, DevicePtr, Error, Kernel, LaunchConfig, LaunchReport, Module,
    Params, Profile,
};
