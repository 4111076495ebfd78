//! Instructions that lanes of a warp execute together: shuffles, votes, matches, reductions,
//! `bar.warp.sync` (PTX ISA, "Parallel Synchronization and Communication Instructions").
//!
//! Each names the lanes that take part. They wait until all of these that have not exited are at the
//! instruction. Lanes with different masks at one instruction are separate groups. None of them but
//! `bar.warp.sync` orders memory accesses.

use super::cta::Cta;
use super::ops::Flow;
use super::regs::{Lanes, lanes};
use super::stop::Stop;
use super::warp::{State, Warp};
use crate::check::FaultKind;
use crate::isa::{MatchKind, Num, Op, ReduxOp, ShflMode, Src, VoteKind};
use crate::num;

/// What stands in a lane's result if the lane that it reads from takes no part ("the result is
/// undefined"): as f32 a NaN, so that who uses it sees.
const UNDEFINED: u32 = 0xffff_dead;

/// The groups that are complete, and the lanes that have to wait.
struct Groups {
    list: [u32; 32],
    count: usize,
    waiting: u32,
}

impl Groups {
    fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.list[..self.count].iter().copied()
    }
}

/// Sorts the executing lanes by the mask they give.
fn groups(warp: &Warp, exec: u32, mask: Src) -> Result<Groups, Stop> {
    let mut out = Groups { list: [0; 32], count: 0, waiting: 0 };
    if let Src::Imm(named) = mask {
        let named = named as u32;
        if exec & !named == 0 && named & warp.alive == exec {
            out.list[0] = exec;
            out.count = 1;
            return Ok(out);
        }
    }
    let masks = warp.regs.copy32(mask, exec)?;
    let mut rest = exec;
    while rest != 0 {
        let lane = rest.trailing_zeros() as usize;
        let named = masks[lane];
        let same = lanes(rest).filter(|&l| masks[l] == named).fold(0, |all, l| all | 1 << l);
        rest &= !same;
        if same & !named != 0 {
            let detail = format!("mask {named:#010x} does not name the lane that executes it");
            return Err(Stop::new(FaultKind::IllegalWarpMask, same & !named, detail));
        }
        let needed = named & warp.alive;
        if needed & exec & !same != 0 {
            let detail = format!("mask {named:#010x} names lanes that give another mask");
            return Err(Stop::new(FaultKind::IllegalWarpMask, same, detail));
        }
        if needed == same {
            out.list[out.count] = same;
            out.count += 1;
        } else {
            out.waiting |= same;
        }
    }
    Ok(out)
}

fn flow(groups: &Groups) -> Flow {
    if groups.waiting == 0 { Flow::Next } else { Flow::Wait(groups.waiting) }
}

impl Cta<'_> {
    /// `shfl`, `vote`, `match`, `redux`, `elect`.
    pub(super) fn collective(&mut self, warp: &mut Warp, exec: u32, op: &Op) -> Result<Flow, Stop> {
        let (Op::Shfl { mask, .. }
        | Op::Vote { mask, .. }
        | Op::Match { mask, .. }
        | Op::Redux { mask, .. }
        | Op::Elect { mask, .. }) = op
        else {
            return Ok(Flow::Next);
        };
        if let Src::Imm(0xffff_ffff) = mask
            && exec == u32::MAX
        {
            together(warp, exec, op)?;
            return Ok(Flow::Next);
        }
        let groups = groups(warp, exec, *mask)?;
        for group in groups.iter() {
            together(warp, group, op)?;
        }
        Ok(flow(&groups))
    }

    /// `bar.warp.sync`. Unlike the others it may be executed at different places: it is enough that
    /// all named lanes are at one with the same mask.
    pub(super) fn warp_sync(
        &mut self,
        warp: &mut Warp,
        exec: u32,
        mask: Src,
    ) -> Result<Flow, Stop> {
        let groups = groups(warp, exec, mask)?;
        if groups.count > 0 {
            self.shared.shadow.order.sync_lanes(warp.index as usize);
        }
        if groups.waiting == 0 {
            return Ok(Flow::Next);
        }
        let masks = warp.regs.copy32(mask, exec)?;
        let named = masks[groups.waiting.trailing_zeros() as usize];
        let code = &self.grid.program.kernel.code;
        let mut there = lanes(exec).filter(|&l| masks[l] == named).fold(0, |all, l| all | 1 << l);
        let mut met = Vec::new();
        for (i, f) in warp.fragments.iter().enumerate() {
            let at = code.get(f.pc as usize).map(|i| &i.op);
            let (Some(&Op::WarpSync { mask }), State::Converge) = (at, f.state) else { continue };
            let theirs = warp.regs.copy32(mask, f.mask)?;
            if lanes(f.mask).all(|l| theirs[l] == named) {
                there |= f.mask;
                met.push(i);
            }
        }
        if there & (named & warp.alive) != named & warp.alive {
            return Ok(Flow::Wait(groups.waiting));
        }
        for i in met {
            warp.fragments[i].pc += 1;
            warp.fragments[i].state = State::Ready;
        }
        self.shared.shadow.order.sync_lanes(warp.index as usize);
        let rest = lanes(groups.waiting).filter(|&l| masks[l] != named);
        let rest = rest.fold(0, |all, l| all | 1 << l);
        Ok(if rest == 0 { Flow::Next } else { Flow::Wait(rest) })
    }
}

/// Executes one for a complete group.
fn together(warp: &mut Warp, group: u32, op: &Op) -> Result<(), Stop> {
    let regs = &mut warp.regs;
    match *op {
        Op::Shfl { mode, dst, pred, a, b, c, .. } => {
            let written = regs.written(a);
            let (b, c) = (regs.copy32(b, group)?, regs.copy32(c, group)?);
            let mut room = [0; 32];
            let Ok(a) = regs.get32(a, 0, &mut room) else { return Ok(()) };
            let mut out = [0; 32];
            let mut from = [0u8; 32];
            let mut inside = 0;
            if b == [b[0]; 32] && c == [c[0]; 32] {
                for lane in 0..32 {
                    let (source, ok) = shuffle_source(mode, lane, b[0], c[0]);
                    from[lane as usize] = source as u8;
                    inside |= u32::from(ok) << lane;
                }
            } else {
                for lane in 0..32 {
                    let (source, ok) =
                        shuffle_source(mode, lane, b[lane as usize], c[lane as usize]);
                    from[lane as usize] = source as u8;
                    inside |= u32::from(ok) << lane;
                }
            }
            let mut result = u32::MAX;
            for lane in 0..32 {
                let source = from[lane] & 31;
                let there = group >> source & 1 == 1;
                out[lane] = if there { a[usize::from(source)] } else { UNDEFINED };
                if there && written >> source & 1 == 0 {
                    result &= !(1 << lane);
                }
            }
            if let Some(dst) = dst {
                regs.put32(dst, group, &out);
                if group & !result != 0 {
                    regs.set_written(dst, group, result, result);
                }
            }
            if let Some(pred) = pred {
                regs.put_pred(pred, group, inside);
            }
        }
        Op::Vote { kind, dst, pred, a, .. } => {
            let yes = regs.pred(a, group)?;
            if let Some(dst) = dst {
                regs.put32(dst, group, &[yes; 32]);
            }
            let held = match kind {
                VoteKind::All => yes == group,
                VoteKind::Any | VoteKind::Ballot => yes != 0,
                VoteKind::Uni => yes == group || yes == 0,
            };
            if let Some(pred) = pred {
                regs.put_pred(pred, group, if held { u32::MAX } else { 0 });
            }
        }
        Op::Match { kind, ty, dst, pred, a, .. } => {
            let field = u64::MAX >> (64 - ty.bits());
            let values = regs.copy64(a, group)?.map(|v| v & field);
            let equal = |lane: usize| {
                lanes(group).filter(|&l| values[l] == values[lane]).fold(0, |all, l| all | 1 << l)
            };
            let first = group.trailing_zeros() as usize & 31;
            let all = equal(first) == group;
            let out: Lanes<u32> = match kind {
                MatchKind::Any => std::array::from_fn(equal),
                MatchKind::All => [if all { group } else { 0 }; 32],
            };
            regs.put32(dst, group, &out);
            if let Some(pred) = pred {
                regs.put_pred(pred, group, if all { u32::MAX } else { 0 });
            }
        }
        Op::Redux { op, ty: Num::F32, abs, nan, dst, a, .. } => {
            let values = regs.copy32(a, group)?;
            let result = extreme(lanes(group).map(|l| values[l]), op == ReduxOp::Max, abs, nan);
            regs.put32(dst, group, &[result; 32]);
        }
        Op::Redux { op, ty, dst, a, .. } => {
            let values = regs.copy32(a, group)?;
            let signed = ty == Num::S32;
            let fold = |f: fn(u32, u32) -> u32| lanes(group).map(|l| values[l]).reduce(f);
            let result = match op {
                ReduxOp::Add => fold(u32::wrapping_add),
                ReduxOp::And => fold(|a, b| a & b),
                ReduxOp::Or => fold(|a, b| a | b),
                ReduxOp::Xor => fold(|a, b| a ^ b),
                ReduxOp::Min if signed => fold(|a, b| (a as i32).min(b as i32) as u32),
                ReduxOp::Max if signed => fold(|a, b| (a as i32).max(b as i32) as u32),
                ReduxOp::Min => fold(u32::min),
                ReduxOp::Max => fold(u32::max),
            };
            regs.put32(dst, group, &[result.unwrap_or(0); 32]);
        }
        Op::Elect { dst, pred, .. } => {
            let leader = group.trailing_zeros() & 31;
            if let Some(dst) = dst {
                regs.put32(dst, group, &[leader; 32]);
            }
            regs.put_pred(pred, group, 1 << leader);
        }
        _ => {}
    }
    Ok(())
}

/// The lane that `shfl` reads from, and whether that is inside the segment; if not, it is the own
/// lane (PTX ISA, "shfl.sync", Semantics).
#[inline(always)]
fn shuffle_source(mode: ShflMode, lane: u32, b: u32, c: u32) -> (u32, bool) {
    let (clamp, segment, b) = (c & 31, c >> 8 & 31, b & 31);
    let highest = lane & segment | clamp & !segment;
    let lowest = lane & segment;
    let (from, inside) = match mode {
        ShflMode::Up => {
            let from = lane as i32 - b as i32;
            (from as u32, from >= highest as i32)
        }
        ShflMode::Down => (lane + b, lane + b <= highest),
        ShflMode::Bfly => (lane ^ b, lane ^ b <= highest),
        ShflMode::Idx => (lowest | b & !segment, lowest | b & !segment <= highest),
    };
    if inside { (from, true) } else { (lane, false) }
}

/// `redux.sync.min` and `.max` of f32: NaNs are ignored unless one is to win, or there is nothing else.
fn extreme(values: impl Iterator<Item = u32>, max: bool, abs: bool, nan: bool) -> u32 {
    let pick = if max { num::f32_max } else { num::f32_min };
    let magnitude = |x: u32| if abs { x & 0x7fff_ffff } else { x };
    // A NaN is what every number wins against, and without one it stays.
    let start = |x: u32| pick(x, x, false, nan);
    values.map(magnitude).reduce(|a, b| pick(a, b, false, nan)).map_or(0, start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffles_stay_in_their_segment() {
        // Width 8: segment mask 0x18, clamp 7 (0 for `up`).
        let c = 0x1800 | 7;
        let to = |mode, lane, b, c| shuffle_source(mode, lane, b, c);
        assert_eq!(to(ShflMode::Down, 5, 2, c), (7, true));
        assert_eq!(to(ShflMode::Down, 6, 2, c), (6, false));
        assert_eq!(to(ShflMode::Up, 9, 1, 0x1800), (8, true));
        assert_eq!(to(ShflMode::Up, 8, 1, 0x1800), (8, false));
        assert_eq!(to(ShflMode::Idx, 13, 3, c), (11, true));
        assert_eq!(to(ShflMode::Idx, 13, 11, c), (11, true), "modulo the width");
        assert_eq!(to(ShflMode::Bfly, 13, 4, c), (9, true));
        assert_eq!(to(ShflMode::Bfly, 13, 16, c), (13, false));
        assert_eq!(to(ShflMode::Up, 0, 1, 0), (0, false), "whole warp");
    }
}
