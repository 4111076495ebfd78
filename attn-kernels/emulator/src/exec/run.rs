//! Runs a grid: CTAs in order on one thread, or shared out over several.

use super::Program;
use super::cta::Cta;
use crate::check::Fault;
use crate::count::Tally;
use crate::device::{Checks, Profile};
use crate::mem::{AddressSpace, Snapshot};
use rayon::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// All that the CTAs of a launch have in common.
pub(crate) struct Grid<'a> {
    pub(crate) program: &'a Program,
    pub(crate) grid: [u32; 3],
    pub(crate) block: [u32; 3],
    pub(crate) dynamic_shared: u32,
    pub(crate) params: &'a [u8],
    pub(crate) checks: Checks,
    pub(crate) budget: u64,
    pub(crate) profile: &'a Profile,
    pub(crate) memory: &'a AddressSpace,
    pub(crate) snapshot: Snapshot,
}

impl Grid<'_> {
    /// How many there are.
    pub(crate) fn ctas(&self) -> u64 {
        self.grid.iter().map(|&n| u64::from(n)).product()
    }
}

/// All CTAs, one after another.
pub(crate) fn in_order(grid: &Grid<'_>) -> Result<Tally, Box<Fault>> {
    let mut cta = Cta::new(grid);
    let mut warps = Vec::new();
    for rank in 0..grid.ctas() {
        cta.run(rank, &mut warps)?;
    }
    Ok(cta.tally)
}

/// On `workers` threads of a pool. Numbers are handed out in order and every CTA below one that
/// faults is run to its end, so the fault of the lowest is known.
pub(crate) fn in_parallel(
    grid: &Grid<'_>,
    pool: &rayon::ThreadPool,
    workers: usize,
) -> Result<Tally, Box<Fault>> {
    let next = AtomicU64::new(0);
    let stop = AtomicU64::new(u64::MAX);
    let worker = |_: usize| {
        let mut cta = Cta::new(grid);
        let mut warps = Vec::new();
        loop {
            let rank = next.fetch_add(1, Relaxed);
            if rank >= grid.ctas() || rank > stop.load(Relaxed) {
                return (cta.tally, None);
            }
            if let Err(fault) = cta.run(rank, &mut warps) {
                stop.fetch_min(rank, Relaxed);
                return (cta.tally, Some((rank, fault)));
            }
        }
    };
    let results: Vec<_> = pool.install(|| (0..workers).into_par_iter().map(worker).collect());
    let mut tally = Tally::new(grid.program.kernel.code.len());
    let mut first: Option<(u64, Box<Fault>)> = None;
    for (part, fault) in results {
        tally.merge(&part);
        if let Some((rank, fault)) = fault
            && first.as_ref().is_none_or(|(lowest, _)| rank < *lowest)
        {
            first = Some((rank, fault));
        }
    }
    match first {
        Some((_, fault)) => Err(fault),
        None => Ok(tally),
    }
}
