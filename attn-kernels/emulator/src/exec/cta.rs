//! A CTA: its warps take turns until all threads have exited.

use super::async_copy::Landing;
use super::barrier::Barrier;
use super::mbarrier::Mbar;
use super::run::Grid;
use super::shared::Shared;
use super::stop::Stop;
use super::warp::{State, Warp};
use crate::check::{Clock, Fault, FaultKind, Watch};
use crate::count::Tally;
use crate::isa::Op;
use std::collections::{BTreeMap, VecDeque};

/// What the warps of a CTA share.
pub(crate) struct Cta<'g> {
    pub(crate) grid: &'g Grid<'g>,
    /// Its coordinates and its number in the grid.
    pub(crate) id: [u32; 3],
    pub(crate) rank: u64,
    pub(crate) threads: u32,
    pub(crate) shared: Shared,
    pub(crate) barriers: [Barrier; 16],
    /// Numbers of barriers that completed and whose waiters were not woken yet.
    pub(crate) completed: Vec<u8>,
    pub(crate) mbarriers: BTreeMap<u32, Mbar>,
    /// Asynchronous copies on their way.
    pub(crate) landings: VecDeque<Landing>,
    /// What atomics and volatile accesses of shared words, and of all global memory, pass on.
    pub(crate) words: BTreeMap<u32, Clock>,
    pub(crate) global_clock: Clock,
    pub(crate) tally: Tally,
    /// Warp instructions so far.
    pub(crate) steps: u64,
    /// The first read of unwritten shared memory, until it is known whether it is a race.
    pub(crate) early: Option<Box<Fault>>,
    /// Index in the snapshot of the allocation used last.
    pub(crate) recent: usize,
}

impl<'g> Cta<'g> {
    pub(crate) fn new(grid: &'g Grid<'g>) -> Self {
        Self {
            grid,
            id: [0; 3],
            rank: 0,
            threads: grid.block.iter().product(),
            shared: Shared::default(),
            barriers: Default::default(),
            completed: Vec::new(),
            mbarriers: BTreeMap::new(),
            landings: VecDeque::new(),
            words: BTreeMap::new(),
            global_clock: Clock::new(),
            tally: Tally::new(grid.program.kernel.code.len()),
            steps: 0,
            early: None,
            recent: 0,
        }
    }

    /// Coordinates of a thread by its number.
    pub(crate) fn thread(&self, number: u32) -> [u32; 3] {
        let [x, y, _] = self.grid.block;
        [number % x, number / x % y, number / x / y]
    }

    fn reset(&mut self, rank: u64) {
        let [x, y, _] = self.grid.grid.map(u64::from);
        self.rank = rank;
        self.id = [(rank % x) as u32, (rank / x % y) as u32, (rank / x / y) as u32];
        let checks = self.grid.checks;
        let program = self.grid.program;
        let watch = Watch {
            races: checks.races,
            unwritten: checks.uninitialized,
            pending: checks.async_copies,
        };
        let bytes = program.kernel.shared_bytes + self.grid.dynamic_shared;
        let warps = self.threads.div_ceil(32) as usize;
        self.shared.reset(bytes, program.granule, warps, watch);
        self.barriers.iter_mut().for_each(Barrier::reset);
        self.completed.clear();
        self.mbarriers.clear();
        self.landings.clear();
        self.words.clear();
        self.global_clock.clear();
        self.steps = 0;
        self.early = None;
        self.tally.ctas += 1;
    }

    /// Keeps the first read of unwritten shared memory, with its place.
    #[inline]
    pub(super) fn note_early(&mut self, warp: &Warp, pc: u32) {
        if let Some(stop) = self.shared.take_early()
            && self.early.is_none()
        {
            self.early = Some(stop.fault(self, warp, pc));
        }
    }

    /// Runs one CTA. `warps` is kept between CTAs for its memory.
    pub(crate) fn run(&mut self, rank: u64, warps: &mut Vec<Warp>) -> Result<(), Box<Fault>> {
        let result = self.run_warps(rank, warps);
        let Some(mut early) = self.early.take() else { return result };
        // Whatever came of it, the read of unwritten memory was first. If a write of what was read
        // came, with nothing between, that is the cause.
        if let (Err(fault), Some(reader)) = (result, self.shared.overtaken) {
            early.kind = fault.kind;
            early.detail = format!(
                "nobody had written it; warp {} lane {} wrote it later with no barrier between",
                fault.warp, fault.lane
            );
            if u32::from(reader >> 5) == early.warp {
                early.address = fault.address;
                early.lane = u32::from(reader & 31);
                early.thread = self.thread(reader.into());
            }
        }
        Err(early)
    }

    fn run_warps(&mut self, rank: u64, warps: &mut Vec<Warp>) -> Result<(), Box<Fault>> {
        self.reset(rank);
        let kernel = &self.grid.program.kernel;
        let count = self.threads.div_ceil(32);
        warps.resize_with(count as usize, Warp::default);
        for (index, warp) in warps.iter_mut().enumerate() {
            let lanes = (self.threads - index as u32 * 32).min(32);
            warp.reset(index as u32, u32::MAX >> (32 - lanes), kernel.local_bytes);
            let check = self.grid.checks.uninitialized;
            warp.regs.reset(kernel.regs32, kernel.regs64, kernel.preds, check);
        }
        loop {
            let mut ran = false;
            for index in 0..warps.len() {
                if !warps[index].fragments.iter().any(|f| f.state == State::Ready) {
                    continue;
                }
                ran = true;
                self.run_warp(&mut warps[index])?;
                while let Some(id) = self.completed.pop() {
                    self.release_barrier(id, warps);
                }
            }
            ran |= self.land_next();
            if warps.iter().all(|w| w.alive == 0) {
                return Ok(());
            }
            if !ran {
                match self.held_up_by_exits(exited(warps)) {
                    Some(id) => self.release_barrier(id, warps),
                    None => return Err(self.deadlock(warps)),
                }
            }
        }
    }

    /// Nobody can go on: says who waits for what.
    fn deadlock(&self, warps: &[Warp]) -> Box<Fault> {
        let waiting = |state: fn(State) -> bool| {
            warps.iter().find_map(|w| w.fragments.iter().find(|f| state(f.state)).map(|f| (w, *f)))
        };
        let found = waiting(|s| s == State::Converge).or_else(|| waiting(|_| true));
        let exited = exited(warps);
        let Some((warp, f)) = found else {
            let stop = Stop::new(FaultKind::WarpDeadlock, 1, "no thread can go on");
            return stop.fault(self, &warps[0], 0);
        };
        match f.state {
            State::Barrier(id) => {
                let b = &self.barriers[usize::from(id)];
                let detail = format!(
                    "barrier {id} waits for {} threads, {} came; {exited} of the CTA's {} exited",
                    b.expected, b.arrived, self.threads
                );
                let pc = f.pc - 1;
                Stop::new(FaultKind::DivergentBarrier, f.mask, detail).fault(self, warp, pc)
            }
            _ => {
                let code = &self.grid.program.kernel.code;
                let elsewhere = warp.alive & !f.mask;
                let detail = format!(
                    "lanes {:#010x} wait here for others, lanes {elsewhere:#010x} wait elsewhere",
                    f.mask
                );
                let kind = match code.get(f.pc as usize).map(|i| &i.op) {
                    Some(Op::Barrier { .. }) => FaultKind::DivergentBarrier,
                    _ => FaultKind::WarpDeadlock,
                };
                Stop::new(kind, f.mask, detail).fault(self, warp, f.pc)
            }
        }
    }
}

/// How many threads have exited.
fn exited(warps: &[Warp]) -> u32 {
    warps.iter().map(|w| (w.members & !w.alive).count_ones()).sum()
}
