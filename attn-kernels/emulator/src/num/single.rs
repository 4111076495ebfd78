//! f32 arithmetic to nearest, on bits, for one lane: the hot path of kernels. Small enough to be
//! inlined into loops over lanes, where LLVM makes vector code of it.
//!
//! Results are the same on every host: only correctly rounded operations are used, and every NaN
//! becomes 0x7fffffff.

use super::narrow::{canonical_f32, flush_f32, fma_to_odd};
use crate::isa::Cmp;

/// The operand as a number, flushed if asked.
#[inline(always)]
fn input(x: u32, ftz: bool) -> f32 {
    f32::from_bits(if ftz { flush_f32(x) } else { x })
}

/// The bits of a result, flushed if asked.
#[inline(always)]
fn output(x: f32, ftz: bool) -> u32 {
    let bits = canonical_f32(x);
    if ftz { flush_f32(bits) } else { bits }
}

/// `add.rn{.ftz}.f32`.
#[inline(always)]
pub(crate) fn f32_add(a: u32, b: u32, ftz: bool) -> u32 {
    output(input(a, ftz) + input(b, ftz), ftz)
}

/// `sub.rn{.ftz}.f32`.
#[inline(always)]
pub(crate) fn f32_sub(a: u32, b: u32, ftz: bool) -> u32 {
    output(input(a, ftz) - input(b, ftz), ftz)
}

/// `mul.rn{.ftz}.f32`.
#[inline(always)]
pub(crate) fn f32_mul(a: u32, b: u32, ftz: bool) -> u32 {
    output(input(a, ftz) * input(b, ftz), ftz)
}

/// `fma.rn{.ftz}.f32`. Through f64 rounded to odd: exact without the host's FMA, which a baseline
/// build has only as a call of libm.
#[inline(always)]
pub(crate) fn f32_fma(a: u32, b: u32, c: u32, ftz: bool) -> u32 {
    let [a, b, c] = [a, b, c].map(|x| f64::from(input(x, ftz)));
    output(fma_to_odd(a, b, c) as f32, ftz)
}

/// `div.rn{.ftz}.f32`, also the result of `div.full` (≤ 2 ulp are allowed).
#[inline(always)]
pub(crate) fn f32_div(a: u32, b: u32, ftz: bool) -> u32 {
    output(input(a, ftz) / input(b, ftz), ftz)
}

/// `rcp.rn{.ftz}.f32`, also the result of `rcp.approx` (≤ 1 ulp is allowed).
#[inline(always)]
pub(crate) fn f32_rcp(a: u32, ftz: bool) -> u32 {
    output(1.0 / input(a, ftz), ftz)
}

/// `sqrt.rn{.ftz}.f32`, also the result of `sqrt.approx` (a relative error of 2^-23 is allowed).
#[inline(always)]
pub(crate) fn f32_sqrt(a: u32, ftz: bool) -> u32 {
    output(input(a, ftz).sqrt(), ftz)
}

/// The order of f32 bits as integers: -0 below +0.
#[inline(always)]
fn key(x: u32) -> i32 {
    (x ^ (((x as i32) >> 31) as u32 >> 1)) as i32
}

/// `max{.ftz}{.NaN}.f32` (PTX ISA, "max"): a NaN loses, or wins with `.NaN`; +0 > -0.
#[inline(always)]
pub(crate) fn f32_max(a: u32, b: u32, ftz: bool, nan: bool) -> u32 {
    extreme(a, b, ftz, nan, true)
}

/// `min{.ftz}{.NaN}.f32`.
#[inline(always)]
pub(crate) fn f32_min(a: u32, b: u32, ftz: bool, nan: bool) -> u32 {
    extreme(a, b, ftz, nan, false)
}

#[inline(always)]
fn extreme(a: u32, b: u32, ftz: bool, nan: bool, max: bool) -> u32 {
    let (a, b) = if ftz { (flush_f32(a), flush_f32(b)) } else { (a, b) };
    let (a_nan, b_nan) = (f32::from_bits(a).is_nan(), f32::from_bits(b).is_nan());
    let first = (key(a) > key(b)) == max;
    let chosen = if first { a } else { b };
    let chosen = if a_nan { b } else { chosen };
    let chosen = if b_nan { a } else { chosen };
    let invalid = if nan { a_nan | b_nan } else { a_nan & b_nan };
    if invalid { 0x7fff_ffff } else { chosen }
}

/// `neg{.ftz}.f32`.
#[inline(always)]
pub(crate) fn f32_neg(a: u32, ftz: bool) -> u32 {
    (if ftz { flush_f32(a) } else { a }) ^ 0x8000_0000
}

/// `abs{.ftz}.f32`.
#[inline(always)]
pub(crate) fn f32_abs(a: u32, ftz: bool) -> u32 {
    (if ftz { flush_f32(a) } else { a }) & 0x7fff_ffff
}

/// Clamps a result to [+0, 1]; a NaN becomes +0 (`.sat`).
#[inline(always)]
pub(crate) fn f32_saturate(x: u32) -> u32 {
    let value = f32::from_bits(x);
    let low = if value > 0.0 { value } else { 0.0 };
    (if low > 1.0 { 1.0f32 } else { low }).to_bits()
}

/// `setp`'s comparison of two f32.
#[inline(always)]
pub(crate) fn f32_compare(cmp: Cmp, a: u32, b: u32, ftz: bool) -> bool {
    compare_floats(cmp, f64::from(input(a, ftz)), f64::from(input(b, ftz)))
}

/// A comparison of two numbers as doubles (every narrower type converts exactly).
#[inline(always)]
pub(crate) fn compare_floats(cmp: Cmp, a: f64, b: f64) -> bool {
    let unordered = a.is_nan() | b.is_nan();
    match cmp {
        Cmp::Eq => a == b,
        Cmp::Ne => (a != b) & !unordered,
        Cmp::Lt => a < b,
        Cmp::Le => a <= b,
        Cmp::Gt => a > b,
        Cmp::Ge => a >= b,
        Cmp::Equ => (a == b) | unordered,
        Cmp::Neu => a != b,
        Cmp::Ltu => (a < b) | unordered,
        Cmp::Leu => (a <= b) | unordered,
        Cmp::Gtu => (a > b) | unordered,
        Cmp::Geu => (a >= b) | unordered,
        Cmp::Num => !unordered,
        Cmp::Nan => unordered,
    }
}
