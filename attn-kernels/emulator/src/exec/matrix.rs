//! `mma`, `ldmatrix`, `stmatrix`, `movmatrix`: all lanes of a warp together.

use super::cta::Cta;
use super::ops::Flow;
use super::regs::Lanes;
use super::stop::Stop;
use super::warp::Warp;
use crate::check::FaultKind;
use crate::isa::{Addr, Mma, Num, Op, Reg, Src};
use crate::num::{self, MmaForm, m8n8_element};

/// Most registers of an operand, over all forms.
const MOST: usize = 8;

impl Cta<'_> {
    pub(super) fn matrix(
        &mut self,
        warp: &mut Warp,
        pc: u32,
        exec: u32,
        op: &Op,
    ) -> Result<Flow, Stop> {
        // `.aligned`: all lanes come together, and none may be missing.
        if exec != warp.alive {
            return Ok(Flow::Wait(exec));
        }
        if exec != u32::MAX {
            let detail = format!("it needs all 32 lanes, {exec:#010x} are there");
            return Err(Stop::new(FaultKind::IllegalWarpMask, exec, detail));
        }
        match op {
            Op::Mma(mma) if mma.acc == Num::F64 => mma_f64(warp, mma)?,
            Op::Mma(mma) => mma_32(warp, mma)?,
            Op::LdMatrix { trans, dst, addr } => self.ldmatrix(warp, pc, *trans, dst, addr)?,
            Op::StMatrix { trans, src, addr } => self.stmatrix(warp, pc, *trans, src, addr)?,
            Op::MovMatrix { dst, a } => {
                let a = warp.regs.copy32(*a, exec)?;
                let rows = rows_of(&a);
                warp.regs.put32(*dst, exec, &fragment(&rows, true));
            }
            _ => {}
        }
        Ok(Flow::Next)
    }

    /// The row addresses of `count` matrices, one per lane of the first `8 × count`.
    fn rows(&self, warp: &Warp, addr: &Addr, count: usize) -> Result<(Lanes<u32>, u32), Stop> {
        let users = (u64::MAX >> (64 - 8 * count.min(4))) as u32;
        let at = warp.addresses(addr, users)?.map(|a| a & 0xffff_ffff);
        Ok((self.shared.admit(&at, users, 16)?, users))
    }

    fn ldmatrix(
        &mut self,
        warp: &mut Warp,
        pc: u32,
        trans: bool,
        dst: &[Reg],
        addr: &Addr,
    ) -> Result<(), Stop> {
        let (at, users) = self.rows(warp, addr, dst.len())?;
        for (i, &dst) in dst.iter().enumerate() {
            let mut rows = [[0u16; 8]; 8];
            for lane in 0..32 {
                // Lane 4r + c holds the c-th word of row r (without `.trans`), so it is the reader.
                let (row, word) = (lane / 4, lane % 4);
                let place = at[i * 8 + row] + 4 * word as u32;
                let value = self.shared.read_word(place, warp.thread(lane))?;
                rows[row][2 * word] = value as u16;
                rows[row][2 * word + 1] = (value >> 16) as u16;
            }
            warp.regs.put32(dst, u32::MAX, &fragment(&rows, trans));
        }
        self.note_early(warp, pc);
        self.count_shared(pc, &at, users, 16, true);
        Ok(())
    }

    fn stmatrix(
        &mut self,
        warp: &mut Warp,
        pc: u32,
        trans: bool,
        src: &[Src],
        addr: &Addr,
    ) -> Result<(), Stop> {
        let (at, users) = self.rows(warp, addr, src.len())?;
        for (i, &src) in src.iter().enumerate() {
            let value = warp.regs.copy32(src, u32::MAX)?;
            let mut rows = [[0u16; 8]; 8];
            for (lane, value) in value.into_iter().enumerate() {
                for half in 0..2 {
                    let (row, col) = m8n8_element(lane, half, trans);
                    rows[row][col] = (value >> (16 * half)) as u16;
                }
            }
            for lane in 0..32 {
                let (row, word) = (lane / 4, lane % 4);
                let place = at[i * 8 + row] + 4 * word as u32;
                let value =
                    u32::from(rows[row][2 * word]) | u32::from(rows[row][2 * word + 1]) << 16;
                self.shared.write_word(place, value, warp.thread(lane))?;
            }
        }
        self.count_shared(pc, &at, users, 16, false);
        Ok(())
    }
}

/// The 8×8 matrix that a register holds, without `.trans`.
fn rows_of(value: &Lanes<u32>) -> [[u16; 8]; 8] {
    let mut rows = [[0; 8]; 8];
    for (lane, value) in value.iter().enumerate() {
        for half in 0..2 {
            let (row, col) = m8n8_element(lane, half, false);
            rows[row][col] = (value >> (16 * half)) as u16;
        }
    }
    rows
}

/// The register that holds a matrix.
fn fragment(rows: &[[u16; 8]; 8], trans: bool) -> Lanes<u32> {
    std::array::from_fn(|lane| {
        let element = |half| {
            let (row, col) = m8n8_element(lane, half, trans);
            u32::from(rows[row][col])
        };
        element(0) | element(1) << 16
    })
}

/// The registers of a fragment.
fn take32(warp: &Warp, from: &[Src], to: &mut [Lanes<u32>; MOST]) -> Result<usize, Stop> {
    let count = from.len().min(MOST);
    for (to, &from) in to.iter_mut().zip(from) {
        *to = warp.regs.copy32(from, u32::MAX)?;
    }
    Ok(count)
}

fn take64(warp: &Warp, from: &[Src], to: &mut [Lanes<u64>; MOST]) -> Result<usize, Stop> {
    let count = from.len().min(MOST);
    for (to, &from) in to.iter_mut().zip(from) {
        *to = warp.regs.copy64(from, u32::MAX)?;
    }
    Ok(count)
}

fn mma_32(warp: &mut Warp, mma: &Mma) -> Result<(), Stop> {
    let [mut a, mut b, mut c, mut d] = [[[0; 32]; MOST]; 4];
    let (na, nb) = (take32(warp, &mma.a, &mut a)?, take32(warp, &mma.b, &mut b)?);
    let nc = take32(warp, &mma.c, &mut c)?;
    let nd = mma.d.len().min(MOST);
    num::mma(MmaForm::from(mma), &a[..na], &b[..nb], &c[..nc], &mut d[..nd]);
    for (&reg, value) in mma.d.iter().zip(&d) {
        warp.regs.put32(reg, u32::MAX, value);
    }
    Ok(())
}

fn mma_f64(warp: &mut Warp, mma: &Mma) -> Result<(), Stop> {
    let [mut a, mut b, mut c, mut d] = [[[0; 32]; MOST]; 4];
    let (na, nb) = (take64(warp, &mma.a, &mut a)?, take64(warp, &mma.b, &mut b)?);
    let nc = take64(warp, &mma.c, &mut c)?;
    let nd = mma.d.len().min(MOST);
    num::mma_f64(MmaForm::from(mma), &a[..na], &b[..nb], &c[..nc], &mut d[..nd]);
    for (&reg, value) in mma.d.iter().zip(&d) {
        warp.regs.put64(reg, u32::MAX, value);
    }
    Ok(())
}
