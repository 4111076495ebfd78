//! What the machine checks: the kinds of faults, how a fault is reported, and the order of accesses to
//! shared memory. Knows no instructions.

mod clock;
mod fault;
mod race;

pub(crate) use clock::Clock;
pub use fault::{AllocationInfo, Fault, FaultKind};
pub(crate) use race::{Hazard, Shadow, Thread, Watch};
