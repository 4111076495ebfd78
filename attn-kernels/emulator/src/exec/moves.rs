//! Moves: copies, packing, address windows, special registers.

use super::cta::Cta;
use super::regs::{Lanes, Regs, Unset};
use super::warp::Warp;
use crate::isa::{Pred, Reg, Space, Special, Src};

/// The windows of the generic address space that are not global memory.
pub(super) const SHARED_WINDOW: u64 = 1 << 32;
pub(super) const LOCAL_WINDOW: u64 = 2 << 32;
pub(super) const PARAM_WINDOW: u64 = 3 << 32;
/// Bytes of each.
const WINDOW: u64 = 1 << 32;

/// Where the window of a space begins.
fn window(space: Space) -> u64 {
    match space {
        Space::Shared => SHARED_WINDOW,
        Space::Local => LOCAL_WINDOW,
        Space::Param => PARAM_WINDOW,
        Space::Generic | Space::Global | Space::Const => 0,
    }
}

/// The space of a generic address.
#[inline]
pub(super) fn space_of(address: u64) -> Space {
    match address / WINDOW {
        1 => Space::Shared,
        2 => Space::Local,
        3 => Space::Param,
        _ => Space::Global,
    }
}

/// Copies, whether written or not: a compiler moves what it does not use.
pub(super) fn copy(regs: &mut Regs, mask: u32, dst: Reg, src: Src) {
    let low = regs.low_written(src);
    let written = if matches!(dst, Reg::R32(_)) { low } else { regs.written(src) };
    match dst {
        Reg::R32(_) => {
            let mut room = [0; 32];
            // Nothing is asked of an empty mask.
            let Ok(&value) = regs.get32(src, 0, &mut room) else { return };
            regs.put32(dst, mask, &value);
        }
        Reg::R64(_) => {
            let mut room = [0; 32];
            let Ok(&value) = regs.get64(src, 0, &mut room) else { return };
            regs.put64(dst, mask, &value);
        }
    }
    if mask & !written != 0 {
        regs.set_written(dst, mask, written, low);
    }
}

/// Puts parts of `bits` bits side by side, the first lowest. The result counts as written where all
/// parts are, its low half where those below 32 bits are: compilers pack a value with nothing above it.
pub(super) fn pack(regs: &mut Regs, mask: u32, dst: Reg, bits: u8, parts: &[Src]) {
    let mut out = [0u64; 32];
    let (mut written, mut low) = (u32::MAX, u32::MAX);
    let field = u64::MAX >> (64 - u32::from(bits));
    for (i, &part) in parts.iter().enumerate() {
        written &= regs.written(part);
        if i * usize::from(bits) < 32 {
            low &= regs.written(part);
        }
        let value = regs.peek64(part);
        for (to, from) in out.iter_mut().zip(value) {
            *to |= (from & field) << (i * usize::from(bits));
        }
    }
    regs.put64(dst, mask, &out);
    if mask & !written != 0 {
        regs.set_written(dst, mask, written, low);
    }
}

/// Takes parts of `bits` bits apart.
pub(super) fn unpack(regs: &mut Regs, mask: u32, dst: &[Option<Reg>], bits: u8, src: Src) {
    let (whole, low) = (regs.written(src), regs.low_written(src));
    let value = regs.peek64(src);
    let field = u64::MAX >> (64 - u32::from(bits));
    for (i, dst) in dst.iter().enumerate() {
        let Some(dst) = *dst else { continue };
        let shift = i * usize::from(bits);
        regs.put64(dst, mask, &value.map(|v| v >> shift & field));
        let written = if shift < 32 { low } else { whole };
        if mask & !written != 0 {
            regs.set_written(dst, mask, written, written);
        }
    }
}

pub(super) fn cvta(
    regs: &mut Regs,
    mask: u32,
    dst: Reg,
    src: Src,
    space: Space,
    to_generic: bool,
) -> Result<(), Unset> {
    let base = window(space);
    if to_generic {
        regs.wide1(mask, dst, src, |a| a.wrapping_add(base))
    } else {
        regs.wide1(mask, dst, src, |a| a.wrapping_sub(base))
    }
}

pub(super) fn is_space(
    regs: &mut Regs,
    mask: u32,
    dst: Pred,
    src: Src,
    space: Space,
) -> Result<(), Unset> {
    // Constants live in global memory here and are told apart by nobody.
    let held = regs.test2_wide(mask, (src, src), |a, _| space_of(a) == space)?;
    regs.put_pred(dst, mask, held);
    Ok(())
}

impl Cta<'_> {
    /// `mov` from a special register.
    pub(super) fn special(&self, warp: &mut Warp, mask: u32, dst: Reg, reg: Special) {
        let lane_values = |f: &dyn Fn(u32) -> u32| -> Lanes<u64> {
            std::array::from_fn(|i| u64::from(f(i as u32)))
        };
        let all = |value: u64| [value; 32];
        let first = warp.index * 32;
        let axis = |i: u8| usize::from(i).min(2);
        let value = match reg {
            Special::Tid(i) => lane_values(&|lane| {
                let number = first + lane;
                if number < self.threads { self.thread(number)[axis(i)] } else { 0 }
            }),
            Special::Ntid(i) => all(self.grid.block[axis(i)].into()),
            Special::Ctaid(i) => all(self.id[axis(i)].into()),
            Special::Nctaid(i) => all(self.grid.grid[axis(i)].into()),
            Special::LaneId => lane_values(&|lane| lane),
            Special::WarpId => all(warp.index.into()),
            Special::NwarpId => all(self.threads.div_ceil(32).into()),
            Special::SmId => all(self.rank % u64::from(self.grid.profile.sm_count)),
            Special::NsmId => all(self.grid.profile.sm_count.into()),
            Special::GridId | Special::ClusterZero => all(0),
            Special::ClusterOne => all(1),
            Special::LanemaskEq => lane_values(&|lane| 1 << lane),
            Special::LanemaskLt => lane_values(&|lane| (1 << lane) - 1),
            Special::LanemaskLe => lane_values(&|lane| u32::MAX >> (31 - lane)),
            Special::LanemaskGe => lane_values(&|lane| u32::MAX << lane),
            Special::LanemaskGt => lane_values(&|lane| !(u32::MAX >> (31 - lane))),
            Special::Clock(high) | Special::GlobalTimerHalf(high) => {
                all(self.steps >> (if high { 32 } else { 0 }) & 0xffff_ffff)
            }
            // One instruction counts as a nanosecond.
            Special::Clock64 | Special::GlobalTimer => all(self.steps),
            Special::DynamicSmemSize => all(self.grid.dynamic_shared.into()),
            Special::TotalSmemSize => all(self.shared.bytes().into()),
        };
        warp.regs.put64(dst, mask, &value);
    }
}
