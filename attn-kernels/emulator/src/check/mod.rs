//! What the machine checks: the kinds of faults, how a fault is reported, and the order of accesses to
//! shared memory. Knows no instructions.

mod fault;
mod race;

pub use fault::{AllocationInfo, Fault, FaultKind};
