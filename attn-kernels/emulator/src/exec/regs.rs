//! The registers of a warp: for each register the values of its 32 lanes side by side, and a mask of
//! the lanes that were ever written. Knows how values are read and written, not what they mean.
//!
//! A register of 8, 16 or 32 bits is 32 bits here; who reads fewer ignores the rest.

use crate::isa::{Guard, Pred, PredSrc, Reg, Src};

/// One value per lane.
pub(crate) type Lanes<T> = [T; 32];

/// A register or predicate that was read before it was written, and by which lanes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unset {
    /// 0 = 32 bits, 1 = 64 bits, 2 = predicates.
    pub(crate) file: usize,
    pub(crate) index: u32,
    pub(crate) lanes: u32,
}

/// Bit i of lane i.
const BIT: Lanes<u32> = {
    let mut bits = [0; 32];
    let mut i = 0;
    while i < 32 {
        bits[i] = 1 << i;
        i += 1;
    }
    bits
};

/// All registers of a warp.
#[derive(Debug, Default)]
pub(crate) struct Regs {
    file32: Vec<Lanes<u32>>,
    file64: Vec<Lanes<u64>>,
    preds: Vec<u32>,
    init: [Vec<u32>; 3],
    /// Of the 64-bit registers that are not written as a whole: the lanes whose low half is.
    low: Vec<u32>,
    /// The carry flag, one bit per lane.
    pub(crate) carry: u32,
}

impl Regs {
    /// Unwritten registers, or ones that count as written if nobody checks.
    pub(crate) fn reset(&mut self, regs32: usize, regs64: usize, preds: usize, check: bool) {
        let unset = if check { 0 } else { u32::MAX };
        self.file32.resize(regs32, [0; 32]);
        self.file64.resize(regs64, [0; 32]);
        self.preds.resize(preds, 0);
        for (init, count) in self.init.iter_mut().zip([regs32, regs64, preds]) {
            init.clear();
            init.resize(count, unset);
        }
        if !check {
            self.file32.fill([0; 32]);
            self.file64.fill([0; 32]);
            self.preds.fill(0);
        }
        self.low.clear();
        self.low.resize(regs64, 0);
        self.carry = 0;
    }

    #[inline(always)]
    fn need(&self, file: usize, index: u32, mask: u32) -> Result<(), Unset> {
        let lanes = mask & !self.init[file][index as usize];
        if lanes == 0 { Ok(()) } else { Err(Unset { file, index, lanes }) }
    }

    /// The lanes of `src` that hold a written value.
    pub(crate) fn written(&self, src: Src) -> u32 {
        match src {
            Src::Reg(Reg::R32(i)) => self.init[0][i as usize],
            Src::Reg(Reg::R64(i)) => self.init[1][i as usize],
            Src::Imm(_) | Src::Variable(..) => u32::MAX,
        }
    }

    /// The lanes of `src` whose low 32 bits hold a written value.
    pub(crate) fn low_written(&self, src: Src) -> u32 {
        match src {
            Src::Reg(Reg::R64(i)) => self.init[1][i as usize] | self.low[i as usize],
            _ => self.written(src),
        }
    }

    /// Says which of the lanes `mask` of a register are written, as a whole and in the low half.
    pub(crate) fn set_written(&mut self, dst: Reg, mask: u32, written: u32, low: u32) {
        let (Reg::R32(i) | Reg::R64(i)) = dst;
        if let Reg::R64(i) = dst {
            let old = &mut self.low[i as usize];
            *old = *old & !mask | low & mask;
        }
        let init = &mut self.init[usize::from(matches!(dst, Reg::R64(_)))][i as usize];
        *init = *init & !mask | written & mask;
    }

    /// The low 32 bits of a source; `room` is where they stand if it is no 32-bit register.
    #[inline(always)]
    pub(crate) fn get32<'a>(
        &'a self,
        src: Src,
        mask: u32,
        room: &'a mut Lanes<u32>,
    ) -> Result<&'a Lanes<u32>, Unset> {
        match src {
            Src::Reg(Reg::R32(i)) => {
                self.need(0, i, mask)?;
                return Ok(&self.file32[i as usize]);
            }
            Src::Reg(Reg::R64(i)) => {
                // The low half is all that is asked for.
                if self.low[i as usize] == 0 {
                    self.need(1, i, mask)?;
                } else {
                    self.need(1, i, mask & !self.low[i as usize])?;
                }
                *room = self.file64[i as usize].map(|x| x as u32);
            }
            Src::Imm(value) => *room = [value as u32; 32],
            Src::Variable(_, offset) => *room = [offset as u32; 32],
        }
        Ok(room)
    }

    /// A source as 64 bits, zero-extended.
    #[inline(always)]
    pub(crate) fn get64<'a>(
        &'a self,
        src: Src,
        mask: u32,
        room: &'a mut Lanes<u64>,
    ) -> Result<&'a Lanes<u64>, Unset> {
        match src {
            Src::Reg(Reg::R64(i)) => {
                self.need(1, i, mask)?;
                return Ok(&self.file64[i as usize]);
            }
            Src::Reg(Reg::R32(i)) => {
                self.need(0, i, mask)?;
                *room = self.file32[i as usize].map(u64::from);
            }
            Src::Imm(value) => *room = [value; 32],
            Src::Variable(_, offset) => *room = [offset as u64; 32],
        }
        Ok(room)
    }

    /// A copy of a source as 32 bits.
    pub(crate) fn copy32(&self, src: Src, mask: u32) -> Result<Lanes<u32>, Unset> {
        let mut room = [0; 32];
        self.get32(src, mask, &mut room).copied()
    }

    /// A copy of a source as 64 bits.
    pub(crate) fn copy64(&self, src: Src, mask: u32) -> Result<Lanes<u64>, Unset> {
        let mut room = [0; 32];
        self.get64(src, mask, &mut room).copied()
    }

    /// Copies without asking whether it was written.
    pub(crate) fn peek64(&self, src: Src) -> Lanes<u64> {
        match src {
            Src::Reg(Reg::R64(i)) => self.file64[i as usize],
            Src::Reg(Reg::R32(i)) => self.file32[i as usize].map(u64::from),
            Src::Imm(value) => [value; 32],
            Src::Variable(_, offset) => [offset as u64; 32],
        }
    }

    /// Writes the lanes of `mask`; a 64-bit register gets zeros above.
    #[inline(always)]
    pub(crate) fn put32(&mut self, dst: Reg, mask: u32, value: &Lanes<u32>) {
        match dst {
            Reg::R32(i) => {
                let i = i as usize;
                blend(&mut self.file32[i], value, mask);
                self.init[0][i] |= mask;
            }
            Reg::R64(_) => self.put64(dst, mask, &value.map(u64::from)),
        }
    }

    /// Writes the lanes of `mask`; a 32-bit register gets the low half.
    #[inline(always)]
    pub(crate) fn put64(&mut self, dst: Reg, mask: u32, value: &Lanes<u64>) {
        match dst {
            Reg::R64(i) => {
                let i = i as usize;
                if mask == u32::MAX {
                    self.file64[i] = *value;
                } else {
                    for ((to, &from), bit) in self.file64[i].iter_mut().zip(value).zip(BIT) {
                        *to = if mask & bit != 0 { from } else { *to };
                    }
                }
                self.init[1][i] |= mask;
            }
            Reg::R32(_) => self.put32(dst, mask, &value.map(|x| x as u32)),
        }
    }

    /// The lanes of `mask` where a predicate is true.
    #[inline(always)]
    pub(crate) fn pred(&self, src: PredSrc, mask: u32) -> Result<u32, Unset> {
        match src {
            PredSrc::Reg(p, negate) => {
                self.need(2, p.0, mask)?;
                let value = self.preds[p.0 as usize];
                Ok(mask & if negate { !value } else { value })
            }
            PredSrc::Const(value) => Ok(if value { mask } else { 0 }),
        }
    }

    /// The lanes of `mask` that a guard lets through.
    #[inline(always)]
    pub(crate) fn guard(&self, guard: Guard, mask: u32) -> Result<u32, Unset> {
        self.pred(PredSrc::Reg(guard.pred, guard.negate), mask)
    }

    /// Writes a predicate in the lanes of `mask`.
    #[inline(always)]
    pub(crate) fn put_pred(&mut self, dst: Pred, mask: u32, value: u32) {
        let p = &mut self.preds[dst.0 as usize];
        *p = *p & !mask | value & mask;
        self.init[2][dst.0 as usize] |= mask;
    }

    /// `dst = f(a)` on 32 bits.
    #[inline(always)]
    pub(crate) fn map1(
        &mut self,
        mask: u32,
        dst: Reg,
        a: Src,
        f: impl Fn(u32) -> u32,
    ) -> Result<(), Unset> {
        let mut room = [0; 32];
        let a = self.get32(a, mask, &mut room)?;
        let mut out = [0; 32];
        for i in 0..32 {
            out[i] = f(a[i]);
        }
        self.put32(dst, mask, &out);
        Ok(())
    }

    /// `dst = f(a, b)` on 32 bits.
    #[inline(always)]
    pub(crate) fn map2(
        &mut self,
        mask: u32,
        dst: Reg,
        (a, b): (Src, Src),
        f: impl Fn(u32, u32) -> u32,
    ) -> Result<(), Unset> {
        let mut room = [[0; 32]; 2];
        let [room_a, room_b] = &mut room;
        let a = self.get32(a, mask, room_a)?;
        let b = self.get32(b, mask, room_b)?;
        let mut out = [0; 32];
        for i in 0..32 {
            out[i] = f(a[i], b[i]);
        }
        self.put32(dst, mask, &out);
        Ok(())
    }

    /// `dst = f(a, b, c)` on 32 bits.
    #[inline(always)]
    pub(crate) fn map3(
        &mut self,
        mask: u32,
        dst: Reg,
        (a, b, c): (Src, Src, Src),
        f: impl Fn(u32, u32, u32) -> u32,
    ) -> Result<(), Unset> {
        let mut room = [[0; 32]; 3];
        let [room_a, room_b, room_c] = &mut room;
        let a = self.get32(a, mask, room_a)?;
        let b = self.get32(b, mask, room_b)?;
        let c = self.get32(c, mask, room_c)?;
        let mut out = [0; 32];
        for i in 0..32 {
            out[i] = f(a[i], b[i], c[i]);
        }
        self.put32(dst, mask, &out);
        Ok(())
    }

    /// `dst = f(a)`, lane by lane on bits of any width.
    #[inline(always)]
    pub(crate) fn wide1(
        &mut self,
        mask: u32,
        dst: Reg,
        a: Src,
        f: impl Fn(u64) -> u64,
    ) -> Result<(), Unset> {
        let mut room = [0; 32];
        let a = self.get64(a, mask, &mut room)?;
        let mut out = [0; 32];
        for i in 0..32 {
            out[i] = f(a[i]);
        }
        self.put64(dst, mask, &out);
        Ok(())
    }

    /// `dst = f(a, b)`, lane by lane on bits of any width.
    #[inline(always)]
    pub(crate) fn wide2(
        &mut self,
        mask: u32,
        dst: Reg,
        (a, b): (Src, Src),
        f: impl Fn(u64, u64) -> u64,
    ) -> Result<(), Unset> {
        let mut room = [[0; 32]; 2];
        let [room_a, room_b] = &mut room;
        let a = self.get64(a, mask, room_a)?;
        let b = self.get64(b, mask, room_b)?;
        let mut out = [0; 32];
        for i in 0..32 {
            out[i] = f(a[i], b[i]);
        }
        self.put64(dst, mask, &out);
        Ok(())
    }

    /// `dst = f(a, b, c)`, lane by lane on bits of any width.
    #[inline(always)]
    pub(crate) fn wide3(
        &mut self,
        mask: u32,
        dst: Reg,
        (a, b, c): (Src, Src, Src),
        f: impl Fn(u64, u64, u64) -> u64,
    ) -> Result<(), Unset> {
        let (a, b, c) = (self.copy64(a, mask)?, self.copy64(b, mask)?, self.copy64(c, mask)?);
        let mut out = [0; 32];
        for i in 0..32 {
            out[i] = f(a[i], b[i], c[i]);
        }
        self.put64(dst, mask, &out);
        Ok(())
    }

    /// The lanes of `mask` for which `f(a, b)` on 32 bits is true.
    #[inline(always)]
    pub(crate) fn test2(
        &self,
        mask: u32,
        (a, b): (Src, Src),
        f: impl Fn(u32, u32) -> bool,
    ) -> Result<u32, Unset> {
        let mut room = [[0; 32]; 2];
        let [room_a, room_b] = &mut room;
        let a = self.get32(a, mask, room_a)?;
        let b = self.get32(b, mask, room_b)?;
        let mut bits = [0; 32];
        for i in 0..32 {
            bits[i] = if f(a[i], b[i]) { BIT[i] } else { 0 };
        }
        Ok(bits.iter().fold(0, |all, b| all | b) & mask)
    }

    /// The lanes of `mask` for which `f(a, b)` on 64 bits is true.
    #[inline(always)]
    pub(crate) fn test2_wide(
        &self,
        mask: u32,
        (a, b): (Src, Src),
        f: impl Fn(u64, u64) -> bool,
    ) -> Result<u32, Unset> {
        let mut room = [[0; 32]; 2];
        let [room_a, room_b] = &mut room;
        let a = self.get64(a, mask, room_a)?;
        let b = self.get64(b, mask, room_b)?;
        Ok((0..32).fold(0, |all, i| all | u32::from(f(a[i], b[i])) << i) & mask)
    }
}

/// `to = from` in the lanes of `mask`.
#[inline(always)]
fn blend(to: &mut Lanes<u32>, from: &Lanes<u32>, mask: u32) {
    if mask == u32::MAX {
        *to = *from;
        return;
    }
    for i in 0..32 {
        let keep = if mask & BIT[i] != 0 { 0 } else { u32::MAX };
        to[i] = to[i] & keep | from[i] & !keep;
    }
}

/// The lanes of a mask, from the lowest.
pub(crate) fn lanes(mask: u32) -> impl Iterator<Item = usize> {
    let mut rest = mask;
    std::iter::from_fn(move || {
        (rest != 0).then(|| {
            let lane = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            lane
        })
    })
}
