//! f16 and bf16 arithmetic to nearest, on bits, for one lane: exact in f64 up to one rounding to odd,
//! then rounded once (`fma` through a plain f64 would round twice).

use super::narrow::{bf16_to_f32, f16_to_f32, f64_to_bf16, f64_to_f16, fma_to_odd};

/// One of the two half formats.
pub(crate) trait Half {
    /// The value as a double.
    fn widen(bits: u16) -> f64;
    /// The nearest, even on ties; overflow is infinite; a NaN is 0x7fff.
    fn narrow(value: f64) -> u16;
}

/// binary16.
pub(crate) struct F16;
/// bfloat16.
pub(crate) struct Bf16;

impl Half for F16 {
    #[inline(always)]
    fn widen(bits: u16) -> f64 {
        f64::from(f32::from_bits(f16_to_f32(bits)))
    }
    #[inline(always)]
    fn narrow(value: f64) -> u16 {
        f64_to_f16(value)
    }
}

impl Half for Bf16 {
    #[inline(always)]
    fn widen(bits: u16) -> f64 {
        f64::from(f32::from_bits(bf16_to_f32(bits)))
    }
    #[inline(always)]
    fn narrow(value: f64) -> u16 {
        f64_to_bf16(value)
    }
}

/// `add.rn`.
#[inline(always)]
pub(crate) fn half_add<H: Half>(a: u16, b: u16) -> u16 {
    H::narrow(fma_to_odd(H::widen(a), 1.0, H::widen(b)))
}

/// `sub.rn`.
#[inline(always)]
pub(crate) fn half_sub<H: Half>(a: u16, b: u16) -> u16 {
    H::narrow(fma_to_odd(H::widen(b), -1.0, H::widen(a)))
}

/// `mul.rn`.
#[inline(always)]
pub(crate) fn half_mul<H: Half>(a: u16, b: u16) -> u16 {
    H::narrow(H::widen(a) * H::widen(b))
}

/// `fma.rn`.
#[inline(always)]
pub(crate) fn half_fma<H: Half>(a: u16, b: u16, c: u16) -> u16 {
    H::narrow(fma_to_odd(H::widen(a), H::widen(b), H::widen(c)))
}

/// Applies `op` to the two halves of packed operands.
#[inline(always)]
pub(crate) fn halves(a: u32, b: u32, op: impl Fn(u16, u16) -> u16) -> u32 {
    let low = op(a as u16, b as u16);
    let high = op((a >> 16) as u16, (b >> 16) as u16);
    u32::from(low) | u32::from(high) << 16
}

/// Applies `op` to the two halves of three packed operands.
#[inline(always)]
pub(crate) fn halves3(a: u32, b: u32, c: u32, op: impl Fn(u16, u16, u16) -> u16) -> u32 {
    let low = op(a as u16, b as u16, c as u16);
    let high = op((a >> 16) as u16, (b >> 16) as u16, (c >> 16) as u16);
    u32::from(low) | u32::from(high) << 16
}
