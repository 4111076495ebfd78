//! The `.approx` operations: within the documented error, the same on every host (polynomials of our
//! own and correctly rounded operations, no libm). Hardware differs in the last bits.

use std::f32::consts::LN_2 as LN_2_F32;
use std::f64::consts::{FRAC_2_PI, LN_2, LOG2_E, TAU};

use super::format;
use super::half::{Bf16, F16, Half};
use super::narrow::{canonical_f32, flush_f32};
use super::single;
use crate::isa::{FloatMods, FloatUn, Num};

/// `ex2 lg2 rsqrt sin cos tanh` of a flushed operand; the result is not yet flushed.
pub(super) fn float_un(op: FloatUn, ty: Num, a: u64) -> u64 {
    match ty {
        Num::F16 => F16::narrow(half_un(op, F16::widen(a as u16))).into(),
        Num::Bf16 => Bf16::narrow(half_un(op, Bf16::widen(a as u16))).into(),
        Num::F64 if op == FloatUn::Rsqrt => f64_rsqrt(a),
        Num::F32 => f32_un(op, a as u32).into(),
        _ => 0,
    }
}

fn f32_un(op: FloatUn, a: u32) -> u32 {
    match op {
        FloatUn::Ex2 => f32_ex2(a, false),
        FloatUn::Lg2 => f32_lg2(a),
        FloatUn::Rsqrt => f32_rsqrt(a, false),
        FloatUn::Sin => sin_cos(a, false),
        FloatUn::Cos => sin_cos(a, true),
        FloatUn::Tanh => f32_tanh(a),
        FloatUn::Abs | FloatUn::Neg | FloatUn::Rcp | FloatUn::Sqrt => 0,
    }
}

/// The halves have `ex2` and `tanh` (PTX ISA, "Half Precision Floating Point Instructions").
fn half_un(op: FloatUn, x: f64) -> f64 {
    let single = (x as f32).to_bits();
    let value = if op == FloatUn::Tanh { f32_tanh(single) } else { f32_ex2(single, false) };
    f64::from(f32::from_bits(value))
}

/// Taylor coefficients ln(2)^n / n! of 2^f, n = 7 … 2.
const EX2: [f32; 6] =
    [1.525_273_4e-5, 1.540_353_1e-4, 1.333_355_8e-3, 9.618_129e-3, 5.550_411e-2, 2.402_265e-1];

/// `ex2.approx{.ftz}.f32`: ≤ 2 ulp are allowed, subnormal results included; ex2(-∞) = +0.
#[inline(always)]
pub(crate) fn f32_ex2(a: u32, ftz: bool) -> u32 {
    let x = f32::from_bits(if ftz { flush_f32(a) } else { a });
    // Beyond these the result is 0 or infinite. A NaN passes and is put right at the end.
    let clamped = if x < -151.0 { -151.0 } else { x };
    let clamped = if clamped > 129.0 { 129.0 } else { clamped };
    // To the nearest integer by the weight of 1.5 × 2^23's last bit.
    let anchored = clamped + 12_582_912.0;
    let whole = anchored - 12_582_912.0;
    let f = clamped - whole;
    let mut p = EX2[0];
    for &c in &EX2[1..] {
        p = p * f + c;
    }
    let value = (p * f + LN_2_F32) * f + 1.0;
    // In two factors: each is a normal number, and only the second product can round.
    let power = (anchored.to_bits() as i32).wrapping_sub(0x4b40_0000);
    let half = power >> 1;
    let scale = |n: i32| f32::from_bits((n.wrapping_add(127) as u32) << 23);
    let result = canonical_f32(value * scale(half) * scale(power.wrapping_sub(half)));
    let result = if x.is_nan() { 0x7fff_ffff } else { result };
    if ftz { flush_f32(result) } else { result }
}

/// `rsqrt.approx{.ftz}.f32`: a relative error of 2^-22.9 is allowed; rsqrt(-0) = -∞.
#[inline(always)]
pub(crate) fn f32_rsqrt(a: u32, ftz: bool) -> u32 {
    let a = if ftz { flush_f32(a) } else { a };
    canonical_f32((1.0 / f64::from(f32::from_bits(a)).sqrt()) as f32)
}

/// `div.approx.f32` is a × (1/b), and `div.full.f32` is within 2 ulp; operands are flushed already.
pub(super) fn f32_div(a: u64, b: u64, mods: FloatMods) -> u64 {
    let (a, b) = (a as u32, b as u32);
    if mods.full { single::f32_div(a, b, mods.ftz) } else { f32_div_approx(a, b, mods.ftz) }.into()
}

/// `div.approx{.ftz}.f32`: for |b| above 2^126 the reciprocal is a zero of its sign, so a / b is zero
/// and ∞ / b is NaN (PTX ISA, "div").
#[inline(always)]
pub(crate) fn f32_div_approx(a: u32, b: u32, ftz: bool) -> u32 {
    let large = (b & 0x7fff_ffff > 0x7e80_0000) & (b & 0x7fff_ffff <= 0x7f80_0000);
    let reciprocal = if large { b & 0x8000_0000 } else { single::f32_rcp(b, ftz) };
    single::f32_mul(a, reciprocal, ftz)
}

/// 2/ln(2) × 1/(2n+1), n = 5 … 0: log2((1+s)/(1-s)) = Σ of them × s^(2n+1).
const LG2: [f64; 6] = [
    2.0 / LN_2 / 11.0,
    2.0 / LN_2 / 9.0,
    2.0 / LN_2 / 7.0,
    2.0 / LN_2 / 5.0,
    2.0 / LN_2 / 3.0,
    2.0 / LN_2,
];

/// `lg2.approx.f32`: an absolute error of 2^-22 is allowed in (0.5, 2), a relative one outside.
fn f32_lg2(a: u32) -> u32 {
    let x = f64::from(f32::from_bits(a));
    if x.is_nan() || x < 0.0 {
        return 0x7fff_ffff;
    }
    if x == 0.0 || x.is_infinite() {
        return if x == 0.0 { 0xff80_0000 } else { 0x7f80_0000 };
    }
    // A double's mantissa in [√½, √2): f32 subnormals are normal here.
    let bits = x.to_bits().wrapping_sub(0x3fe6_a09e_0000_0000);
    let exponent = (bits as i64) >> 52;
    let m = f64::from_bits((bits & 0xf_ffff_ffff_ffff) + 0x3fe6_a09e_0000_0000);
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    let mut p = LG2[0];
    for &c in &LG2[1..] {
        p = p * square + c;
    }
    ((exponent as f64 + p * s) as f32).to_bits()
}

/// 2^x for |x| < 1000, to about 2^-40.
fn exp2(x: f64) -> f64 {
    const ANCHOR: f64 = 6_755_399_441_055_744.0; // 1.5 × 2^52
    let whole = (x + ANCHOR) - ANCHOR;
    let f = (x - whole) * LN_2;
    let mut p = 1.0;
    for n in (1..=10).rev() {
        p = p * f / f64::from(n) + 1.0;
    }
    p * f64::from_bits(((whole as i64 + 1023) as u64) << 52)
}

/// `tanh.approx.f32`: a relative error of 2^-11 is allowed; small values, subnormal ones too, pass.
fn f32_tanh(a: u32) -> u32 {
    let x = f64::from(f32::from_bits(a));
    if x.is_nan() {
        return 0x7fff_ffff;
    }
    let size = x.abs().min(20.0);
    let e = exp2(2.0 * LOG2_E * size);
    let value =
        if size < 0.03125 { size - size * size * size / 3.0 } else { (e - 1.0) / (e + 1.0) };
    (value.copysign(x) as f32).to_bits()
}

/// `sin.approx.f32` and `cos.approx.f32`: an absolute error of 2^-20.5 is allowed in [-2π, 2π] and
/// of 2^-14.7 in [-100π, 100π]; beyond, nothing is promised, and here it stays about that good up to
/// 10^5 and then loses what f64's 2π loses.
fn sin_cos(a: u32, cosine: bool) -> u32 {
    let x = f64::from(f32::from_bits(a));
    if !x.is_finite() {
        return 0x7fff_ffff;
    }
    if x == 0.0 {
        return if cosine { 0x3f80_0000 } else { a };
    }
    // π/2 in two parts; products of the first with a small integer are exact.
    const HIGH: f64 = f64::from_bits(0x3ff9_21fb_5440_0000);
    const LOW: f64 = 6.077_100_506_506_192e-11;
    let x = if x.abs() > 1e5 { x % TAU } else { x };
    let turns = (x * FRAC_2_PI).round_ties_even();
    let r = (x - turns * HIGH) - turns * LOW;
    let quadrant = (turns as i64 + i64::from(cosine)) & 3;
    let square = r * r;
    let series = |first: f64, from: i32| {
        let mut p = 1.0;
        for n in (0..6).rev() {
            let k = f64::from(from + 2 * n);
            p = 1.0 - p * square / (k * (k + 1.0));
        }
        p * first
    };
    let value = if quadrant & 1 == 0 { series(r, 2) } else { series(1.0, 1) };
    let value = (if quadrant & 2 == 0 { value } else { -value }) as f32;
    canonical_f32(value)
}

/// `rsqrt.approx.f64`, to within an ulp.
fn f64_rsqrt(a: u64) -> u64 {
    let value = 1.0 / f64::from_bits(a).sqrt();
    match (value.is_nan(), format::F64.is_nan(a)) {
        (true, true) => a | 1 << 51,
        (true, false) => format::F64.nan,
        _ => value.to_bits(),
    }
}

/// `rcp.approx.ftz.f64`: of the upper word, with the lower word zero (PTX ISA, "rcp.approx.ftz.f64").
pub(super) fn f64_rcp(a: u64) -> u64 {
    upper_word(1.0 / f64::from_bits(format::F64.flush(a & !0xffff_ffff)))
}

/// `rsqrt.approx.ftz.f64`: of the upper word, with the lower word zero.
pub(super) fn f64_rsqrt_coarse(a: u64) -> u64 {
    upper_word(1.0 / f64::from_bits(format::F64.flush(a & !0xffff_ffff)).sqrt())
}

fn upper_word(value: f64) -> u64 {
    if value.is_nan() {
        return 0x7fff_ffff_0000_0000;
    }
    format::F64.flush(value.to_bits() & !0xffff_ffff)
}
