//! Conversions between f32, f64 and the small formats to nearest even, without branches, so that
//! loops over lanes become vector code. Every one is checked against [`super::real`].

/// `x` with an f32 subnormal replaced by the zero of its sign.
#[inline(always)]
pub(crate) fn flush_f32(x: u32) -> u32 {
    if x & 0x7f80_0000 == 0 { x & 0x8000_0000 } else { x }
}

/// The bits of an f32 result: every NaN is the canonical one.
#[inline(always)]
pub(crate) fn canonical_f32(x: f32) -> u32 {
    if x.is_nan() { 0x7fff_ffff } else { x.to_bits() }
}

/// The magnitude of `x` in a format with `MAN` mantissa bits, smallest normal exponent `MIN_EXP` and
/// exponents below 17: beyond its largest value the number just runs on. `x` may be anything.
#[inline(always)]
fn round_magnitude<const MAN: i32, const MIN_EXP: i32>(x: u32) -> u32 {
    let magnitude = x & 0x7fff_ffff;
    let exponent = ((magnitude >> 23) as i32 - 127).clamp(MIN_EXP, 17);
    // Adding 2^(23 + q) rounds to a multiple of 2^q, to nearest even, and leaves the multiple in the
    // low bits of the sum.
    let quantum = exponent - MAN;
    let anchor = f32::from_bits(((23 + quantum + 127) as u32) << 23);
    let clamped = magnitude.min(0x4800_0000);
    let kept = (f32::from_bits(clamped) + anchor).to_bits() & 0x7f_ffff;
    (((quantum - MIN_EXP + MAN) as u32) << MAN) + kept
}

/// f32 to f16.
#[inline(always)]
pub(crate) fn f32_to_f16(x: u32) -> u16 {
    let sign = (x >> 16) & 0x8000;
    let magnitude = round_magnitude::<10, -14>(x).min(0x7c00);
    (if x & 0x7fff_ffff > 0x7f80_0000 { 0x7fff } else { sign | magnitude }) as u16
}

/// f32 to bf16.
#[inline(always)]
pub(crate) fn f32_to_bf16(x: u32) -> u16 {
    let rounded = x.wrapping_add(0x7fff + ((x >> 16) & 1)) >> 16;
    (if x & 0x7fff_ffff > 0x7f80_0000 { 0x7fff } else { rounded }) as u16
}

/// f32 to E4M3 with `.satfinite`.
#[inline(always)]
pub(crate) fn f32_to_e4m3(x: u32) -> u8 {
    let sign = (x >> 24) & 0x80;
    let magnitude = round_magnitude::<3, -6>(x).min(0x7e);
    (if x & 0x7fff_ffff > 0x7f80_0000 { 0x7f } else { sign | magnitude }) as u8
}

/// f32 to E5M2 with `.satfinite`.
#[inline(always)]
pub(crate) fn f32_to_e5m2(x: u32) -> u8 {
    let sign = (x >> 24) & 0x80;
    let magnitude = round_magnitude::<2, -14>(x).min(0x7b);
    (if x & 0x7fff_ffff > 0x7f80_0000 { 0x7f } else { sign | magnitude }) as u8
}

/// The magnitude of `x` with `MAN` mantissa bits and smallest normal exponent `MIN_EXP`, as
/// [`round_magnitude`] does it, from an f64 and for exponents to 128.
#[inline(always)]
fn round_magnitude_f64<const MAN: i64, const MIN_EXP: i64>(x: u64) -> u64 {
    let magnitude = x & 0x7fff_ffff_ffff_ffff;
    let exponent = ((magnitude >> 52) as i64 - 1023).clamp(MIN_EXP, 129);
    let quantum = exponent - MAN;
    let anchor = f64::from_bits(((52 + quantum + 1023) as u64) << 52);
    let clamped = magnitude.min(0x4800_0000_0000_0000);
    let kept = (f64::from_bits(clamped) + anchor).to_bits() & 0xf_ffff_ffff_ffff;
    (((quantum - MIN_EXP + MAN) as u64) << MAN) + kept
}

/// f64 to f16.
#[inline(always)]
pub(crate) fn f64_to_f16(x: f64) -> u16 {
    let bits = x.to_bits();
    let sign = (bits >> 48) & 0x8000;
    let magnitude = round_magnitude_f64::<10, -14>(bits).min(0x7c00);
    (if x.is_nan() { 0x7fff } else { sign | magnitude }) as u16
}

/// f64 to bf16.
#[inline(always)]
pub(crate) fn f64_to_bf16(x: f64) -> u16 {
    let bits = x.to_bits();
    let sign = (bits >> 48) & 0x8000;
    let magnitude = round_magnitude_f64::<7, -126>(bits).min(0x7f80);
    (if x.is_nan() { 0x7fff } else { sign | magnitude }) as u16
}

/// f16 to f32, exact; a NaN becomes the canonical one.
#[inline(always)]
pub(crate) fn f16_to_f32(h: u16) -> u32 {
    let magnitude = u32::from(h & 0x7fff);
    let sign = u32::from(h & 0x8000) << 16;
    // 2^112 lifts the exponent from f16's bias to f32's; a subnormal becomes normal on the way.
    let value = (f32::from_bits(magnitude << 13) * f32::from_bits(0x7780_0000)).to_bits();
    let special = if magnitude > 0x7c00 { 0x7fff_ffff } else { 0x7f80_0000 | sign };
    if magnitude >= 0x7c00 { special } else { value | sign }
}

/// bf16 to f32, exact; a NaN becomes the canonical one.
#[inline(always)]
pub(crate) fn bf16_to_f32(h: u16) -> u32 {
    if h & 0x7fff > 0x7f80 { 0x7fff_ffff } else { u32::from(h) << 16 }
}

/// E4M3 to f32, exact.
#[inline(always)]
pub(crate) fn e4m3_to_f32(code: u8) -> u32 {
    let sign = u32::from(code & 0x80) << 24;
    let magnitude = u32::from(code & 0x7f);
    let value = (f32::from_bits(magnitude << 20) * f32::from_bits(0x7b80_0000)).to_bits();
    if magnitude == 0x7f { 0x7fff_ffff } else { value | sign }
}

/// E4M3 to f16, exact.
#[inline(always)]
pub(crate) fn e4m3_to_f16(code: u8) -> u16 {
    // Every E4M3 value is a normal f16, the nearest is itself.
    f32_to_f16(e4m3_to_f32(code))
}

/// E5M2 to f16: the upper byte of the format; a NaN becomes the canonical one.
#[inline(always)]
pub(crate) fn e5m2_to_f16(code: u8) -> u16 {
    if code & 0x7f > 0x7c { 0x7fff } else { u16::from(code) << 8 }
}

/// The double that a further rounding to 50 bits or fewer takes to the same result as the exact
/// `a × b + c` ("round to odd", Boldo and Melquiond 2008). `a × b` must be exact in f64, and the
/// magnitudes such that nothing overflows or becomes subnormal: factors from f32 or smaller.
#[inline(always)]
pub(crate) fn fma_to_odd(a: f64, b: f64, c: f64) -> f64 {
    let product = a * b;
    let sum = product + c;
    // The exact error of the sum (Knuth's TwoSum).
    let back = sum - product;
    let error = (product - (sum - back)) + (c - back);
    let bits = sum.to_bits();
    // Away from zero if the error points there, else towards it. An infinite or NaN sum has no error.
    let away = (error > 0.0) == (sum > 0.0);
    let odd = if away { bits.wrapping_add(1) } else { bits.wrapping_sub(1) };
    let inexact = (error > 0.0) | (error < 0.0);
    f64::from_bits(if inexact & (bits & 1 == 0) { odd } else { bits })
}
