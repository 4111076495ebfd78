//! CTA barriers: `bar` and `barrier` (PTX ISA, "Parallel Synchronization: bar, barrier").

use super::cta::Cta;
use super::ops::Flow;
use super::stop::Stop;
use super::warp::{State, Warp};
use crate::check::{Clock, FaultKind};
use crate::isa::{BarrierKind, Pred, PredSrc, Reg, Src};

/// One of the 16 barriers of a CTA.
#[derive(Debug, Default)]
pub(crate) struct Barrier {
    /// Threads that complete it, once the first has come; 0 = idle.
    pub(crate) expected: u32,
    pub(crate) arrived: u32,
    /// All threads of the CTA are awaited, which does not mean those that exited.
    all: bool,
    clock: Clock,
    /// Threads whose predicate was true.
    trues: u32,
    /// Threads that gave a predicate.
    asked: u32,
    waiters: Vec<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    warp: u32,
    lanes: u32,
    kind: BarrierKind,
    dst: Option<Reg>,
    pdst: Option<Pred>,
}

impl Barrier {
    pub(crate) fn reset(&mut self) {
        self.expected = 0;
        self.arrived = 0;
        self.all = false;
        self.trues = 0;
        self.asked = 0;
        self.clock.clear();
        self.waiters.clear();
    }
}

/// The operands of a barrier instruction.
pub(super) struct Arrival {
    pub(super) kind: BarrierKind,
    pub(super) aligned: bool,
    pub(super) id: Src,
    pub(super) threads: Option<Src>,
    pub(super) dst: Option<Reg>,
    pub(super) pdst: Option<Pred>,
    pub(super) p: Option<PredSrc>,
}

impl Cta<'_> {
    pub(super) fn barrier(
        &mut self,
        warp: &mut Warp,
        pc: u32,
        exec: u32,
        op: &Arrival,
    ) -> Result<Flow, Stop> {
        // An aligned barrier is executed by the whole warp.
        if op.aligned && exec != warp.alive {
            return Ok(Flow::Wait(exec));
        }
        let id = warp.first32(op.id, exec)?;
        if id > 15 {
            let detail = format!("barrier {id}, the highest is 15");
            return Err(Stop::new(FaultKind::IllegalBarrier, exec, detail));
        }
        let expected = match op.threads {
            None => self.threads,
            Some(count) => warp.first32(count, exec)?,
        };
        let most = self.threads.next_multiple_of(32);
        if op.threads.is_some() && (expected == 0 || expected % 32 != 0 || expected > most) {
            let detail = format!("{expected} threads; it takes a multiple of 32 up to {most}");
            return Err(Stop::new(FaultKind::IllegalBarrier, exec, detail));
        }
        // With a count, whole warps are counted, also the last one of a CTA that is not full.
        let whole = op.threads.is_some() && op.aligned;
        let coming = if whole { 32 } else { exec.count_ones() };
        let trues = match op.p {
            Some(p) => Some(warp.regs.pred(p, exec)?.count_ones()),
            None => None,
        };
        let b = &mut self.barriers[id as usize];
        if b.expected != 0 && b.expected != expected {
            let detail =
                format!("barrier {id} for {expected} threads, others came for {}", b.expected);
            return Err(Stop::new(FaultKind::IllegalBarrier, exec, detail));
        }
        b.expected = expected;
        b.all = op.threads.is_none();
        b.arrived += coming;
        if b.arrived > expected {
            let detail = format!("{} threads came to barrier {id} for {expected}", b.arrived);
            return Err(Stop::new(FaultKind::IllegalBarrier, exec, detail));
        }
        if let Some(trues) = trues {
            b.trues += trues;
            b.asked += exec.count_ones();
        }
        self.shared.shadow.order.release(warp.index as usize, &mut b.clock);
        self.tally.sites[pc as usize].barriers += 1;
        let complete = b.arrived == expected;
        let waits = op.kind != BarrierKind::Arrive;
        if waits {
            let (warp, lanes) = (warp.index, exec);
            let waiter = Waiter { warp, lanes, kind: op.kind, dst: op.dst, pdst: op.pdst };
            b.waiters.push(waiter);
        }
        if complete {
            self.completed.push(id as u8);
        }
        match (waits, complete) {
            (true, _) => Ok(Flow::Barrier(id as u8)),
            // Lets the waiters be woken before anybody comes again.
            (false, true) => Ok(Flow::Yield),
            (false, false) => Ok(Flow::Next),
        }
    }

    /// A barrier of all threads that only exited threads hold up: it is released (PTX ISA, "exit").
    pub(super) fn held_up_by_exits(&self, exited: u32) -> Option<u8> {
        let held = |b: &Barrier| b.all && b.expected != 0 && b.arrived + exited >= b.expected;
        self.barriers.iter().position(held).map(|id| id as u8)
    }

    /// Wakes those that wait at a complete barrier, and makes it idle.
    pub(super) fn release_barrier(&mut self, id: u8, warps: &mut [Warp]) {
        let b = &mut self.barriers[usize::from(id)];
        let (clock, waiters) = (std::mem::take(&mut b.clock), std::mem::take(&mut b.waiters));
        for waiter in &waiters {
            let warp = &mut warps[waiter.warp as usize];
            self.shared.shadow.order.acquire(waiter.warp as usize, &clock);
            let result = match waiter.kind {
                BarrierKind::RedPopc => b.trues,
                BarrierKind::RedAnd => u32::from(b.trues == b.asked),
                BarrierKind::RedOr => u32::from(b.trues > 0),
                BarrierKind::Sync | BarrierKind::Arrive => 0,
            };
            warp.give32(waiter.dst, waiter.lanes, &[result; 32]);
            if let Some(p) = waiter.pdst {
                let value = if result == 0 { 0 } else { u32::MAX };
                warp.regs.put_pred(p, waiter.lanes, value);
            }
            warp.wake(State::Barrier(id));
        }
        b.reset();
        // Their memory is used again.
        (b.clock, b.waiters) = (clock, waiters);
        b.clock.clear();
        b.waiters.clear();
    }
}
