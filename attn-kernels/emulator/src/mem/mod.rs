//! Global memory: allocations of a 48-bit address space as words that threads may share, with a bit
//! per byte that says whether it was ever written. Knows no kernels, warps or faults; it answers
//! what stands where.

mod allocation;
mod space;
mod words;
mod zeroed;

pub(crate) use allocation::Allocation;
pub(crate) use space::{AddressSpace, Place, Snapshot, Trouble};
pub(crate) use words::HostPages;
