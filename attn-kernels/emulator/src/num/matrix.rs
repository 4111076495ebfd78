//! `mma.sync` on the registers of a warp.
//!
//! The model: products are exact, they are added in f64 in the order of the inner dimension, starting
//! from C, and the sum is rounded once to the accumulator's type, to nearest even. Integer sums are
//! exact, then wrap or clamp. The ISA leaves order and rounding open ("mma", Precision and rounding);
//! hardware adds in groups and truncates, and its FP8 accumulators keep fewer bits than f32.

use super::fragment::{a_element, b_element, c_element};
use super::half::{Bf16, F16, Half};
use super::narrow::{canonical_f32, e4m3_to_f32, e5m2_to_f16};
use crate::isa::{Mma, MmaNum, MmaShape, Num};

/// One register of every lane.
pub(crate) type Lanes<T> = [T; 32];

/// What an `mma` computes, without its operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MmaForm {
    pub(crate) shape: MmaShape,
    pub(crate) a_num: MmaNum,
    pub(crate) b_num: MmaNum,
    pub(crate) acc: Num,
    pub(crate) satfinite: bool,
}

impl From<&Mma> for MmaForm {
    fn from(mma: &Mma) -> Self {
        let Mma { shape, a_num, b_num, acc, satfinite, .. } = *mma;
        Self { shape, a_num, b_num, acc, satfinite }
    }
}

impl MmaForm {
    /// Registers of A, B and C (and D) if the form exists in PTX and is implemented, else `None`.
    pub(crate) fn registers(self) -> Option<(usize, usize, usize)> {
        let MmaShape { m, n, k } = self.shape;
        let shape = (m, n, k);
        let bytes = |x| matches!(x, MmaNum::S8 | MmaNum::U8);
        let fp8 = |x| matches!(x, MmaNum::E4m3 | MmaNum::E5m2);
        let exists = match (self.a_num, self.b_num) {
            (MmaNum::F16, MmaNum::F16) => {
                matches!(shape, (16, 8, 8 | 16)) && matches!(self.acc, Num::F32 | Num::F16)
            }
            (MmaNum::Bf16, MmaNum::Bf16) => {
                matches!(shape, (16, 8, 8 | 16)) && self.acc == Num::F32
            }
            (MmaNum::Tf32, MmaNum::Tf32) => matches!(shape, (16, 8, 4 | 8)) && self.acc == Num::F32,
            (MmaNum::F64, MmaNum::F64) => {
                matches!(shape, (8, 8, 4) | (16, 8, 4 | 8 | 16)) && self.acc == Num::F64
            }
            (a, b) if fp8(a) && fp8(b) => {
                matches!(shape, (16, 8, 16 | 32)) && matches!(self.acc, Num::F32 | Num::F16)
            }
            (a, b) if bytes(a) && bytes(b) => {
                matches!(shape, (8, 8, 16) | (16, 8, 16 | 32)) && self.acc == Num::S32
            }
            _ => false,
        };
        if !exists || self.satfinite && self.acc != Num::S32 {
            return None;
        }
        let per = elements_per_register(self.a_num);
        let (m, n, k) = (usize::from(m), usize::from(n), usize::from(k));
        let halves = if self.acc == Num::F16 { 2 } else { 1 };
        Some((m * k / 32 / per, k * n / 32 / per, m * n / 32 / halves))
    }
}

/// How many elements a register holds.
pub(crate) const fn elements_per_register(num: MmaNum) -> usize {
    match num {
        MmaNum::F16 | MmaNum::Bf16 => 2,
        MmaNum::Tf32 | MmaNum::F64 => 1,
        MmaNum::E4m3 | MmaNum::E5m2 | MmaNum::S8 | MmaNum::U8 => 4,
    }
}

/// D = A × B + C for the forms with 32-bit registers: register r of a fragment is `x[r]`. Give the
/// registers that [`MmaForm::registers`] counts; missing ones are zero, a form it refuses does nothing.
pub(crate) fn mma(
    form: MmaForm,
    a: &[Lanes<u32>],
    b: &[Lanes<u32>],
    c: &[Lanes<u32>],
    d: &mut [Lanes<u32>],
) {
    if form.acc == Num::F64 || form.registers().is_none() {
        return;
    }
    let (m, k) = (usize::from(form.shape.m), usize::from(form.shape.k));
    let mut left = [[0.0; 32]; 16];
    let mut right = [[0.0; 8]; 32];
    decode(form.a_num, a, |per, lane, index, value| {
        let (row, col) = a_element(m, per, lane, index);
        left[row][col] = value;
    });
    decode(form.b_num, b, |per, lane, index, value| {
        let (row, col) = b_element(per, lane, index);
        right[row][col] = value;
    });
    let halves = form.acc == Num::F16;
    let read = |value: u32| match form.acc {
        Num::S32 => f64::from(value as i32),
        _ => f64::from(f32::from_bits(value)),
    };
    let mut sum = [[0.0; 8]; 16];
    for (register, lanes) in c.iter().enumerate() {
        for (lane, &bits) in lanes.iter().enumerate() {
            if halves {
                for part in 0..2 {
                    let (row, col) = c_element(lane, register * 2 + part);
                    sum[row][col] = F16::widen((bits >> (16 * part)) as u16);
                }
            } else {
                let (row, col) = c_element(lane, register);
                sum[row][col] = read(bits);
            }
        }
    }
    // Sums of bytes stay far below 2^53: f64 is exact for them.
    multiply(&left, &right, &mut sum, m, k);
    for (register, lanes) in d.iter_mut().enumerate() {
        for (lane, bits) in lanes.iter_mut().enumerate() {
            let at = |index| {
                let (row, col): (usize, usize) = c_element(lane, index);
                sum[row][col]
            };
            *bits = match form.acc {
                Num::F16 => {
                    let low = F16::narrow(at(register * 2));
                    u32::from(low) | u32::from(F16::narrow(at(register * 2 + 1))) << 16
                }
                Num::S32 if form.satfinite => at(register) as i32 as u32,
                Num::S32 => at(register) as i64 as u32,
                _ => canonical_f32(at(register) as f32),
            };
        }
    }
}

/// D = A × B + C of doubles: fused multiply-adds in the order of the inner dimension, to nearest even.
pub(crate) fn mma_f64(
    form: MmaForm,
    a: &[Lanes<u64>],
    b: &[Lanes<u64>],
    c: &[Lanes<u64>],
    d: &mut [Lanes<u64>],
) {
    if form.acc != Num::F64 || form.registers().is_none() {
        return;
    }
    let (m, k) = (usize::from(form.shape.m), usize::from(form.shape.k));
    let mut left = [[0.0; 16]; 16];
    let mut right = [[0.0; 8]; 16];
    for (register, lanes) in a.iter().enumerate() {
        for (lane, &bits) in lanes.iter().enumerate() {
            let (row, col) = a_element(m, 1, lane, register);
            left[row][col] = f64::from_bits(bits);
        }
    }
    for (register, lanes) in b.iter().enumerate() {
        for (lane, &bits) in lanes.iter().enumerate() {
            let (row, col) = b_element(1, lane, register);
            right[row][col] = f64::from_bits(bits);
        }
    }
    for (register, (from, to)) in c.iter().zip(d).enumerate() {
        for (lane, (from, to)) in from.iter().zip(to).enumerate() {
            let (row, col) = c_element(lane, register);
            let sum = (0..k)
                .fold(f64::from_bits(*from), |sum, i| left[row][i].mul_add(right[i][col], sum));
            *to = if sum.is_nan() { super::format::F64.nan } else { sum.to_bits() };
        }
    }
}

/// Gives every element of a fragment as a number: (elements per register, lane, index, value).
#[inline(always)]
fn decode(num: MmaNum, registers: &[Lanes<u32>], mut put: impl FnMut(usize, usize, usize, f64)) {
    let mut each = |per: usize, value: fn(u32) -> f64| {
        for (register, lanes) in registers.iter().enumerate() {
            for (lane, &bits) in lanes.iter().enumerate() {
                for part in 0..per {
                    put(per, lane, register * per + part, value(bits >> (32 / per * part)));
                }
            }
        }
    };
    match num {
        MmaNum::F16 => each(2, |x| F16::widen(x as u16)),
        MmaNum::Bf16 => each(2, |x| Bf16::widen(x as u16)),
        // The low 13 bits are no part of the number (PTX ISA, "Alternate Floating Point Data Formats").
        MmaNum::Tf32 => each(1, |x| f64::from(f32::from_bits(x & !0x1fff))),
        MmaNum::E4m3 => each(4, |x| f64::from(f32::from_bits(e4m3_to_f32(x as u8)))),
        MmaNum::E5m2 => each(4, |x| F16::widen(e5m2_to_f16(x as u8))),
        MmaNum::S8 => each(4, |x| f64::from(x as i8)),
        MmaNum::U8 => each(4, |x| f64::from(x as u8)),
        MmaNum::F64 => {}
    }
}

/// `sum += left × right`, the inner dimension in order for every element.
#[inline(always)]
fn multiply(
    left: &[[f64; 32]; 16],
    right: &[[f64; 8]; 32],
    sum: &mut [[f64; 8]; 16],
    m: usize,
    k: usize,
) {
    for (row, sum) in left.iter().zip(sum).take(m) {
        let mut acc = *sum;
        for (&x, right) in row.iter().zip(right).take(k) {
            for (acc, &y) in acc.iter_mut().zip(right) {
                *acc += x * y;
            }
        }
        *sum = acc;
    }
}
