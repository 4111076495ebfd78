//! `atom` and `red`. The lanes of a warp go one after another, the lowest first.

use super::cta::Cta;
use super::memory::{Request, aligned, offsets, same_space, writable};
use super::regs::{Lanes, lanes};
use super::stop::Stop;
use super::warp::Warp;
use crate::check::FaultKind;
use crate::count::sectors;
use crate::isa::{AtomOp, AtomVec, FloatBin, FloatMods, Num, Op, Round, Space};
use crate::mem::Allocation;
use crate::num;
use std::sync::atomic::Ordering::Relaxed;

/// What an atomic does with the value it finds.
#[derive(Clone, Copy)]
struct Update {
    op: AtomOp,
    ty: Num,
    ftz: bool,
}

impl Update {
    fn reads(self) -> bool {
        self.op != AtomOp::Exch
    }

    fn apply(self, old: u64, b: u64, c: u64) -> u64 {
        let bits = self.ty.bits();
        let field = u64::MAX >> (64 - bits);
        let (old, b, c) = (old & field, b & field, c & field);
        let sign = |x: u64| (x << (64 - bits)) as i64;
        let less = if self.ty.signed() { sign(old) < sign(b) } else { old < b };
        let integer = matches!(self.ty, Num::U16 | Num::U32 | Num::S32 | Num::U64 | Num::S64);
        let new = match self.op {
            AtomOp::Exch => b,
            AtomOp::Cas => {
                if old == b {
                    c
                } else {
                    old
                }
            }
            AtomOp::And => old & b,
            AtomOp::Or => old | b,
            AtomOp::Xor => old ^ b,
            AtomOp::Inc => {
                if old >= b {
                    0
                } else {
                    old + 1
                }
            }
            AtomOp::Dec => {
                if old == 0 || old > b {
                    b
                } else {
                    old - 1
                }
            }
            AtomOp::Add if integer => old.wrapping_add(b),
            AtomOp::Min if integer => {
                if less {
                    old
                } else {
                    b
                }
            }
            AtomOp::Max if integer => {
                if less {
                    b
                } else {
                    old
                }
            }
            AtomOp::Add => self.float(FloatBin::Add, old, b),
            AtomOp::Min => self.float(FloatBin::Min, old, b),
            AtomOp::Max => self.float(FloatBin::Max, old, b),
        };
        new & field
    }

    fn float(self, op: FloatBin, old: u64, b: u64) -> u64 {
        let round = if op == FloatBin::Add { Round::Rn } else { Round::None };
        let mods = FloatMods { round, ftz: self.ftz, ..FloatMods::NONE };
        num::float_bin(op, self.ty, mods, old, b)
    }
}

/// The operands of all lanes.
struct Operands {
    b: Lanes<u64>,
    c: Lanes<u64>,
    old: Lanes<u64>,
}

impl Cta<'_> {
    pub(super) fn atom(
        &mut self,
        warp: &mut Warp,
        pc: u32,
        mask: u32,
        op: &Op,
    ) -> Result<(), Stop> {
        let Op::Atom { op, ty, space, dst, addr, b, c, .. } = op else { return Ok(()) };
        let at = warp.addresses(addr, mask)?;
        let mut operands = Operands {
            b: warp.regs.copy64(*b, mask)?,
            c: match c {
                Some(c) => warp.regs.copy64(*c, mask)?,
                None => [0; 32],
            },
            old: [0; 32],
        };
        let bytes = ty.bits() / 8;
        let mut rest = mask;
        while rest != 0 {
            let (actual, mask) = same_space(*space, &at, rest);
            rest &= !mask;
            let near = offsets(*space, actual, &at);
            let at = near.as_ref().unwrap_or(&at);
            let request = Request { pc, at, mask, bytes, strong: true };
            // Sums of f32 in global memory flush subnormals, those in shared memory do not
            // (PTX ISA, "atom").
            let ftz = *ty == Num::F32 && actual != Space::Shared && *op == AtomOp::Add;
            let update = Update { op: *op, ty: *ty, ftz };
            match actual {
                Space::Shared => self.atom_shared(warp, request, update, &mut operands)?,
                Space::Global | Space::Const => {
                    self.atom_global(warp, request, update, &mut operands)?;
                }
                _ => {
                    let stop =
                        Stop::new(FaultKind::OutOfBounds, mask, "atomics are for shared or global");
                    return Err(stop.at(at[mask.trailing_zeros() as usize & 31]));
                }
            }
        }
        if let Some(dst) = *dst {
            warp.regs.put64(dst, mask, &operands.old);
        }
        Ok(())
    }

    fn atom_shared(
        &mut self,
        warp: &Warp,
        request: Request<'_>,
        update: Update,
        operands: &mut Operands,
    ) -> Result<(), Stop> {
        let Request { pc, mask, bytes, .. } = request;
        let at = self.shared.admit(request.at, mask, bytes)?;
        for lane in lanes(mask) {
            let place = at[lane];
            self.acquire_shared(warp, place);
            self.shared.atomic(place, bytes, warp.thread(lane), update.reads(), true)?;
            let mut old = u64::from(self.shared.peek(place) >> (place % 4 * 8));
            if bytes == 8 {
                old |= u64::from(self.shared.peek(place + 4)) << 32;
            }
            let new = update.apply(old, operands.b[lane], operands.c[lane]);
            self.shared.poke(place, &new.to_le_bytes()[..bytes as usize]);
            self.release_shared(warp, place);
            operands.old[lane] = old & (u64::MAX >> (64 - 8 * bytes));
        }
        self.count_shared(pc, &at, mask, bytes, false);
        Ok(())
    }

    fn atom_global(
        &mut self,
        warp: &Warp,
        request: Request<'_>,
        update: Update,
        operands: &mut Operands,
    ) -> Result<(), Stop> {
        self.acquire_global(warp);
        aligned(request, true)?;
        let check = self.grid.checks.uninitialized && update.reads();
        let mut rest = request.mask;
        while rest != 0 {
            let (index, mask) = self.find(Request { mask: rest, ..request })?;
            rest &= !mask;
            let a = &*self.grid.snapshot[index];
            writable(a, request, mask)?;
            for lane in lanes(mask) {
                let offset = request.at[lane] - a.base;
                if check && !a.written(offset, request.bytes) {
                    let detail = format!("an atomic of {} bytes", request.bytes);
                    let stop = Stop::new(FaultKind::UninitializedMemory, 1 << lane, detail);
                    return Err(stop.at_global(request.at[lane], request.bytes.into()));
                }
                let (b, c) = (operands.b[lane], operands.c[lane]);
                operands.old[lane] = in_place(a, offset, request.bytes, |x| update.apply(x, b, c));
            }
        }
        self.release_global(warp);
        let bytes = u64::from(request.mask.count_ones() * request.bytes);
        let site = &mut self.tally.sites[request.pc as usize];
        site.atomic.add(bytes, sectors(request.at, request.mask));
        Ok(())
    }
}

impl Cta<'_> {
    /// An atomic of a vector: its elements one after the other, each indivisible for itself.
    pub(super) fn atom_vector(
        &mut self,
        warp: &mut Warp,
        pc: u32,
        mask: u32,
        v: &AtomVec,
    ) -> Result<(), Stop> {
        let at = warp.addresses(&v.addr, mask)?;
        let size = v.ty.bits() / 8;
        let bytes = size * v.src.len() as u32;
        let request = Request { pc, at: &at, mask, bytes, strong: true };
        let update = Update { op: v.op, ty: v.ty, ftz: v.ty == Num::F32 && v.op == AtomOp::Add };
        let values: Result<Vec<Lanes<u64>>, _> =
            v.src.iter().map(|&src| warp.regs.copy64(src, mask)).collect();
        let mut values = values?;
        self.acquire_global(warp);
        aligned(request, true)?;
        let check = self.grid.checks.uninitialized;
        let mut rest = mask;
        while rest != 0 {
            let (index, found) = self.find(Request { mask: rest, ..request })?;
            rest &= !found;
            let a = &*self.grid.snapshot[index];
            writable(a, request, found)?;
            for lane in lanes(found) {
                let offset = at[lane] - a.base;
                if check && !a.written(offset, bytes) {
                    let detail = format!("an atomic of {bytes} bytes");
                    let stop = Stop::new(FaultKind::UninitializedMemory, 1 << lane, detail);
                    return Err(stop.at_global(at[lane], bytes.into()));
                }
                for (value, place) in values.iter_mut().zip((offset..).step_by(size as usize)) {
                    let b = value[lane];
                    value[lane] = in_place(a, place, size, |x| update.apply(x, b, 0));
                }
            }
        }
        self.release_global(warp);
        let site = &mut self.tally.sites[pc as usize];
        site.atomic.add(u64::from(mask.count_ones() * bytes), sectors(&at, mask));
        for (&dst, old) in v.dst.iter().flatten().zip(&values) {
            warp.regs.put64(dst, mask, old);
        }
        Ok(())
    }
}

/// Updates 2, 4 or 8 bytes of an allocation indivisibly; gives the old bits.
fn in_place(a: &Allocation, offset: u64, bytes: u32, update: impl Fn(u64) -> u64) -> u64 {
    if bytes == 8 {
        return a.update64(offset, update);
    }
    let shift = (offset & 3) as u32 * 8;
    let field = u32::MAX >> (32 - 8 * bytes);
    let put = |word: u32| {
        let new = update(u64::from(word >> shift & field)) as u32;
        Some(word & !(field << shift) | (new & field) << shift)
    };
    // The closure always gives a value.
    let old = match a.cell(offset).fetch_update(Relaxed, Relaxed, put) {
        Ok(old) | Err(old) => old,
    };
    a.mark(offset, bytes);
    u64::from(old >> shift & field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_follow_the_isa() {
        let of = |op, ty, old, b| Update { op, ty, ftz: false }.apply(old, b, 7);
        assert_eq!(of(AtomOp::Inc, Num::U32, 3, 3), 0);
        assert_eq!(of(AtomOp::Inc, Num::U32, 2, 3), 3);
        assert_eq!(of(AtomOp::Dec, Num::U32, 0, 3), 3);
        assert_eq!(of(AtomOp::Dec, Num::U32, 9, 3), 3);
        assert_eq!(of(AtomOp::Min, Num::S32, 0xffff_ffff, 1), 0xffff_ffff);
        assert_eq!(of(AtomOp::Min, Num::U32, 0xffff_ffff, 1), 1);
        assert_eq!(of(AtomOp::Cas, Num::U64, 5, 5), 7);
        assert_eq!(of(AtomOp::Cas, Num::U64, 5, 6), 5);
        let sum = of(AtomOp::Add, Num::F32, 1.5f32.to_bits().into(), 2.0f32.to_bits().into());
        assert_eq!(f32::from_bits(sum as u32), 3.5);
    }
}
