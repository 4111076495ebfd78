//! `mma`, `ldmatrix`, `stmatrix`, `movmatrix`: all lanes of a warp together.

use super::cta::Cta;
use super::ops::Flow;
use super::regs::Lanes;
use super::stop::Stop;
use super::warp::Warp;
use crate::check::FaultKind;
use crate::isa::{Addr, Elements, MatrixForm, Mma, Num, Op, Reg, Src};
use crate::num::{self, MmaForm, m8n8_element, matrix_byte, stored_byte};

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
            Op::LdMatrix { form, dst, addr } => self.ldmatrix(warp, pc, *form, dst, addr)?,
            Op::StMatrix { form, src, addr } => self.stmatrix(warp, pc, *form, src, addr)?,
            Op::MovMatrix { dst, a } => {
                let a = warp.regs.copy32(*a, exec)?;
                let rows = rows_of(&a);
                warp.regs.put32(*dst, exec, &fragment(&rows, true));
            }
            _ => {}
        }
        Ok(Flow::Next)
    }

    /// The addresses of `count` rows, one per lane of the first so many.
    fn rows(&self, warp: &Warp, addr: &Addr, count: usize) -> Result<(Lanes<u32>, u32), Stop> {
        let users = u32::MAX >> (32 - count.min(32));
        let at = warp.shared_addresses(addr, users)?;
        Ok((self.shared.admit(&at, users, 16)?, users))
    }

    fn ldmatrix(
        &mut self,
        warp: &mut Warp,
        pc: u32,
        form: MatrixForm,
        dst: &[Reg],
        addr: &Addr,
    ) -> Result<(), Stop> {
        // A tall matrix has 16 rows and two registers: eight rows a register in any case.
        let (at, users) = self.rows(warp, addr, 8 * dst.len())?;
        let per = if form.tall { 2 } else { 1 };
        for (i, registers) in dst.chunks(per).enumerate() {
            let mut rows = [[0u8; 16]; 16];
            for (row, bytes) in rows[..8 * per].iter_mut().enumerate() {
                for word in 0..words(form.elements) {
                    // Of an 8×8 matrix lane 4r + c holds the c-th word of row r (without `.trans`), so
                    // it is the reader.
                    let reader = warp.thread((row * 4 + word) % 32);
                    let place = at[i * 8 * per + row] + 4 * word as u32;
                    let value = self.shared.read_word(place, reader)?;
                    bytes[4 * word..4 * word + 4].copy_from_slice(&value.to_le_bytes());
                }
                *bytes = unpacked(form.elements, *bytes);
            }
            for (register, &dst) in registers.iter().enumerate() {
                let value = std::array::from_fn(|lane| {
                    u32::from_le_bytes(std::array::from_fn(|byte| {
                        let (row, column) = matrix_byte(form, lane, register, byte);
                        rows[row][column]
                    }))
                });
                warp.regs.put32(dst, u32::MAX, &value);
            }
        }
        self.note_early(warp, pc);
        self.count_shared(pc, &at, users, 16, true);
        Ok(())
    }

    fn stmatrix(
        &mut self,
        warp: &mut Warp,
        pc: u32,
        form: MatrixForm,
        src: &[Src],
        addr: &Addr,
    ) -> Result<(), Stop> {
        let (at, users) = self.rows(warp, addr, 8 * src.len())?;
        for (i, &src) in src.iter().enumerate() {
            let value = warp.regs.copy32(src, u32::MAX)?;
            let mut rows = [[0u8; 16]; 8];
            for (lane, value) in value.into_iter().enumerate() {
                for (byte, value) in value.to_le_bytes().into_iter().enumerate() {
                    let (row, column) = stored_byte(form, lane, byte);
                    rows[row][column] = value;
                }
            }
            for lane in 0..32 {
                let (row, word) = (lane / 4, lane % 4);
                let place = at[i * 8 + row] + 4 * word as u32;
                let bytes = std::array::from_fn(|k| rows[row][4 * word + k]);
                self.shared.write_word(place, u32::from_le_bytes(bytes), warp.thread(lane))?;
            }
        }
        self.count_shared(pc, &at, users, 16, false);
        Ok(())
    }
}

/// Words of a row that hold elements; padding is not read.
fn words(elements: Elements) -> usize {
    match elements {
        Elements::B16 | Elements::B8 => 4,
        Elements::B6 => 3,
        Elements::B4 => 2,
    }
}

/// A row with a byte for each element of 8 bits or less, in its lowest bits.
fn unpacked(elements: Elements, row: [u8; 16]) -> [u8; 16] {
    let bits = match elements {
        Elements::B16 | Elements::B8 => return row,
        Elements::B6 => 6,
        Elements::B4 => 4,
    };
    let row = u128::from_le_bytes(row);
    std::array::from_fn(|i| (row >> (i * bits)) as u8 & ((1 << bits) - 1))
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
