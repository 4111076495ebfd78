//! What a kernel did, in numbers: instructions by class, bytes and sectors, bank conflicts, matrix
//! operations, divergence. Counts of the program, not times.

mod banks;
mod occupancy;
mod sites;

pub(crate) use banks::wavefronts;
pub use occupancy::{Limiter, Occupancy, occupancy};
pub use sites::{Class, ClassCount, Counters, GlobalTraffic, SharedTraffic, Site};
pub(crate) use sites::{Tally, sectors};
