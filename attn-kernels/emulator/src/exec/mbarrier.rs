//! `mbarrier` objects in shared memory (PTX ISA, "Parallel Synchronization: mbarrier").
//!
//! The object itself is kept beside the memory; the eight bytes belong to it from `init` to `inval`, and
//! whatever else touches them then is a fault. After `inval` they count as never written.
//! A phase token is the number of the phase shifted left by 20, over the pending count.

use super::cta::Cta;
use super::ops::Flow;
use super::regs::lanes;
use super::stop::Stop;
use super::warp::Warp;
use crate::check::{Clock, FaultKind};
use crate::isa::{Addr, Mbarrier, Src};

/// Largest count of an mbarrier.
const MOST: u32 = (1 << 20) - 1;

/// An mbarrier object.
#[derive(Debug)]
pub(crate) struct Mbar {
    /// Arrivals of a whole phase, and those missing from the present one.
    expected: u32,
    pending: u32,
    /// Bytes that asynchronous copies still have to bring.
    tx: i64,
    phase: u64,
    clock: Clock,
    /// Who initialised it, and when.
    maker: u16,
    made: u32,
}

/// How a landing completes on its mbarrier.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Complete {
    /// So many bytes have come.
    Bytes(u32),
    /// An arrival of a warp.
    Arrive(u32),
}

impl Mbar {
    fn token(&self) -> u64 {
        self.phase << 20 | u64::from(self.pending)
    }

    /// Starts the next phase if nothing is missing.
    fn advance(&mut self) {
        if self.pending == 0 && self.tx == 0 {
            self.phase += 1;
            self.pending = self.expected;
        }
    }
}

fn illegal(lane: usize, at: u32, detail: impl Into<String>) -> Stop {
    Stop::new(FaultKind::IllegalMbarrier, 1 << lane, detail).at(at.into())
}

impl Cta<'_> {
    pub(super) fn mbarrier(
        &mut self,
        warp: &mut Warp,
        mask: u32,
        op: &Mbarrier,
    ) -> Result<Flow, Stop> {
        match op {
            Mbarrier::Init { bar, count } => {
                let counts = warp.regs.copy32(*count, mask)?;
                self.each(warp, mask, bar, |cta, warp, lane, at| {
                    cta.init(warp, lane, at, counts[lane])
                })?;
            }
            Mbarrier::Inval { bar } => self.each(warp, mask, bar, |cta, warp, lane, at| {
                cta.object(warp, lane, at)?;
                cta.mbarriers.remove(&at);
                cta.shared.disown(at, 8);
                Ok(())
            })?,
            Mbarrier::Arrive { dst, bar, count, tx, drop, no_complete } => {
                let operand = |src: Option<Src>, absent: u32| match src {
                    Some(src) => warp.regs.copy32(src, mask),
                    None => Ok([absent; 32]),
                };
                let (counts, bytes) = (operand(*count, 1)?, operand(*tx, 0)?);
                let (drop, no_complete) = (*drop, *no_complete);
                let mut tokens = [0; 32];
                self.each(warp, mask, bar, |cta, warp, lane, at| {
                    let bar = cta.object(warp, lane, at)?;
                    tokens[lane] = bar.token();
                    bar.tx += i64::from(bytes[lane]);
                    let count = counts[lane];
                    if count == 0 || count > bar.pending || no_complete && count == bar.pending {
                        let detail = format!("{count} arrivals, {} are pending", bar.pending);
                        return Err(illegal(lane, at, detail));
                    }
                    if drop {
                        bar.expected = bar.expected.saturating_sub(count);
                    }
                    bar.pending -= count;
                    cta.release_to(warp, at);
                    Ok(())
                })?;
                if let Some(dst) = *dst {
                    warp.regs.put64(dst, mask, &tokens);
                }
            }
            Mbarrier::Tx { bar, bytes, complete } => {
                let bytes = warp.regs.copy32(*bytes, mask)?;
                let sign = if *complete { -1 } else { 1 };
                self.each(warp, mask, bar, |cta, warp, lane, at| {
                    let bar = cta.object(warp, lane, at)?;
                    bar.tx += sign * i64::from(bytes[lane]);
                    bar.advance();
                    Ok(())
                })?;
            }
            Mbarrier::Wait { dst, bar, state, parity, .. } => {
                let states = warp.regs.copy64(*state, mask)?;
                let mut done = 0;
                self.each(warp, mask, bar, |cta, warp, lane, at| {
                    let bar = cta.object(warp, lane, at)?;
                    let over = if *parity {
                        bar.phase & 1 != states[lane] & 1
                    } else {
                        bar.phase > states[lane] >> 20
                    };
                    if over {
                        done |= 1 << lane;
                        let Some(bar) = cta.mbarriers.get(&at) else { return Ok(()) };
                        cta.shared.shadow.order.acquire(warp.index as usize, &bar.clock);
                    }
                    Ok(())
                })?;
                warp.regs.put_pred(*dst, mask, done);
                if done != mask {
                    return Ok(Flow::Yield);
                }
            }
            Mbarrier::PendingCount { dst, state } => {
                let states = warp.regs.copy64(*state, mask)?;
                warp.regs.put64(*dst, mask, &states.map(|s| s & u64::from(MOST)));
            }
        }
        Ok(Flow::Next)
    }

    /// Does something at the object of each lane, the lowest first.
    fn each(
        &mut self,
        warp: &Warp,
        mask: u32,
        bar: &Addr,
        mut f: impl FnMut(&mut Self, &Warp, usize, u32) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let at = warp.shared_addresses(bar, mask)?;
        let at = self.shared.admit(&at, mask, 8)?;
        lanes(mask).try_for_each(|lane| f(self, warp, lane, at[lane]))
    }

    fn init(&mut self, warp: &Warp, lane: usize, at: u32, count: u32) -> Result<(), Stop> {
        if count == 0 || count > MOST {
            return Err(illegal(lane, at, format!("a count of {count}, it takes 1 to {MOST}")));
        }
        if self.mbarriers.contains_key(&at) {
            return Err(illegal(lane, at, "initialised already"));
        }
        self.shared.own(at, 8, warp.thread(lane))?;
        let bar = Mbar {
            expected: count,
            pending: count,
            tx: 0,
            phase: 0,
            clock: Clock::new(),
            maker: warp.thread(lane),
            made: self.shared.shadow.order.now(),
        };
        self.mbarriers.insert(at, bar);
        Ok(())
    }

    /// The object at an address; its initialisation must come before.
    fn object(&mut self, warp: &Warp, lane: usize, at: u32) -> Result<&mut Mbar, Stop> {
        let me = warp.thread(lane);
        let order = &self.shared.shadow.order;
        let Some(bar) = self.mbarriers.get_mut(&at) else {
            return Err(illegal(lane, at, "no mbarrier was initialised here"));
        };
        let ordered = order.ordered(warp.index as usize, usize::from(bar.maker >> 5), bar.made);
        if self.grid.checks.races && bar.maker != me && !ordered {
            let detail = format!(
                "warp {} lane {} initialised the mbarrier with no barrier between",
                bar.maker >> 5,
                bar.maker & 31
            );
            return Err(Stop::new(FaultKind::SharedRace, 1 << lane, detail).at(at.into()));
        }
        Ok(bar)
    }

    /// What the warp did so far comes before the end of the phase.
    fn release_to(&mut self, warp: &Warp, at: u32) {
        if let Some(bar) = self.mbarriers.get_mut(&at) {
            self.shared.shadow.order.release(warp.index as usize, &mut bar.clock);
            bar.advance();
        }
    }

    /// One more arrival is pending in this phase.
    pub(super) fn expect_arrival(&mut self, warp: &Warp, lane: usize, at: u32) -> Result<(), Stop> {
        self.object(warp, lane, at)?.pending += 1;
        Ok(())
    }

    /// A copy has landed.
    pub(super) fn complete(&mut self, at: u32, how: Complete) {
        let Some(bar) = self.mbarriers.get_mut(&at) else { return };
        let order = &mut self.shared.shadow.order;
        order.release_copies(&mut bar.clock);
        match how {
            Complete::Bytes(bytes) => bar.tx -= i64::from(bytes),
            Complete::Arrive(warp) => {
                order.release(warp as usize, &mut bar.clock);
                bar.pending = bar.pending.saturating_sub(1);
            }
        }
        bar.advance();
    }
}
