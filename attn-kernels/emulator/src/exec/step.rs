//! The loop that runs a warp: chooses a fragment, executes its instructions, follows its branches.
//!
//! The fragment with the lowest instruction runs first, up to where another one stands: so fragments
//! meet again where the compiler laid out their common continuation. One that runs long while others
//! could, or that waits actively, has to let them (PTX ISA, "Independent Thread Scheduling" promises
//! progress to every thread).

use super::cta::Cta;
use super::ops::Flow;
use super::stop::Stop;
use super::warp::{Fragment, State, Warp};
use crate::check::{Fault, FaultKind};

/// Warp instructions before another warp has its turn.
const SLICE: u64 = 1 << 14;
/// Warp instructions before another fragment of the warp has its turn.
const QUANTUM: u64 = 1 << 10;

/// How the run of a fragment ended.
enum End {
    /// Another fragment may have to run.
    Again,
    /// The warp lets others run; its fragments too.
    Yield,
}

impl Cta<'_> {
    /// Runs a warp until none of its fragments can, or its turn is over.
    pub(super) fn run_warp(&mut self, warp: &mut Warp) -> Result<(), Box<Fault>> {
        let mut left = SLICE;
        let mut oldest = false;
        while left > 0 {
            if warp.fragments.len() > 1 {
                warp.merge();
            }
            let Some(chosen) = choose(&warp.fragments, oldest || warp.yielded) else {
                return Ok(());
            };
            warp.yielded = false;
            let f = warp.fragments.swap_remove(chosen);
            warp.turns += 1;
            let joining = |o: &&Fragment| !matches!(o.state, State::Barrier(_));
            let others = warp.fragments.iter().filter(joining);
            let limit = others.map(|o| o.pc).filter(|&pc| pc > f.pc).min().unwrap_or(u32::MAX);
            let alone = !warp.fragments.iter().any(|o| o.state == State::Ready);
            let budget = self.grid.budget.saturating_sub(self.steps);
            if budget == 0 {
                let detail = format!("{} warp instructions in one CTA", self.steps);
                let stop = Stop::new(FaultKind::InstructionBudget, f.mask, detail);
                return Err(stop.fault(self, warp, f.pc));
            }
            let quantum = if alone { left } else { left.min(QUANTUM) }.min(budget);
            let before = self.steps;
            let end = self.run_fragment(warp, f, limit, quantum)?;
            let ran = self.steps - before;
            left = left.saturating_sub(ran.max(1));
            oldest = ran == quantum;
            if matches!(end, End::Yield) || !self.completed.is_empty() {
                warp.yielded = matches!(end, End::Yield);
                return Ok(());
            }
        }
        warp.yielded = true;
        Ok(())
    }

    fn run_fragment(
        &mut self,
        warp: &mut Warp,
        f: Fragment,
        limit: u32,
        quantum: u64,
    ) -> Result<End, Box<Fault>> {
        let code = self.grid.program.kernel.code.as_slice();
        let Fragment { mut pc, mask, .. } = f;
        let mut left = quantum;
        let end = loop {
            if left == 0 || pc >= limit {
                warp.place(pc, mask, State::Ready);
                break End::Again;
            }
            let Some(instr) = code.get(pc as usize) else {
                warp.exit(mask);
                break End::Again;
            };
            left -= 1;
            let exec = match instr.guard {
                None => mask,
                Some(guard) => match warp.regs.guard(guard, mask) {
                    Ok(exec) => exec,
                    Err(unset) => return Err(Stop::from(unset).fault(self, warp, pc)),
                },
            };
            let site = &mut self.tally.sites[pc as usize];
            site.warp += 1;
            site.thread += u64::from(exec.count_ones());
            if exec == 0 {
                pc += 1;
                continue;
            }
            match self.execute(warp, pc, &instr.op, exec) {
                Ok(Flow::Next) => pc += 1,
                Ok(Flow::Jump(target)) if exec == mask => pc = target,
                Ok(Flow::Jump(target)) => {
                    self.tally.sites[pc as usize].divergent += 1;
                    warp.place(target, exec, State::Ready);
                    warp.place(pc + 1, mask & !exec, State::Ready);
                    break End::Again;
                }
                Ok(Flow::Scatter(targets)) => {
                    self.tally.sites[pc as usize].divergent += u64::from(targets.len() > 1);
                    for (target, lanes) in targets {
                        warp.place(target, lanes, State::Ready);
                    }
                    warp.place(pc + 1, mask & !exec, State::Ready);
                    break End::Again;
                }
                Ok(Flow::Exit) => {
                    warp.exit(exec);
                    warp.place(pc + 1, mask & !exec, State::Ready);
                    break End::Again;
                }
                Ok(Flow::Wait(lanes)) => {
                    warp.place(pc, lanes, State::Converge);
                    warp.place(pc + 1, mask & !lanes, State::Ready);
                    break End::Again;
                }
                Ok(Flow::Barrier(id)) => {
                    warp.place(pc + 1, exec, State::Barrier(id));
                    warp.place(pc + 1, mask & !exec, State::Ready);
                    break End::Again;
                }
                Ok(Flow::Yield) => {
                    warp.place(pc + 1, mask, State::Ready);
                    break End::Yield;
                }
                Err(stop) => return Err(stop.fault(self, warp, pc)),
            }
        };
        self.steps += quantum - left;
        Ok(end)
    }
}

/// The ready fragment to run: the one with the lowest instruction, or the one that waits longest.
fn choose(fragments: &[Fragment], oldest: bool) -> Option<usize> {
    let ready = fragments.iter().enumerate().filter(|(_, f)| f.state == State::Ready);
    let found = if oldest {
        ready.min_by_key(|(_, f)| (f.ran, f.pc))
    } else {
        ready.min_by_key(|(_, f)| f.pc)
    };
    found.map(|(i, _)| i)
}
