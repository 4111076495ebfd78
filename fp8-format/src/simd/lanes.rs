//! The slice kernels as plain lane-wise Rust with no branch in a lane: each instruction set compiles
//! them for its own vectors. The bits are those of the scalar code, NaNs included.
//!
//! Chunks have a fixed length, and all that varies by type is constant, so that the compiler turns
//! the loop over a chunk into straight vector code of whatever width the caller's target features
//! give it.

use crate::code::Code;
use crate::element_type::ElementType;
use crate::format::{Overflow, format_of, limit};
use crate::scalar;
use crate::source::Source;

/// Elements of a chunk: four vectors of the widest kind.
const LANES: usize = 64;

/// Encodes `src / scale`. The slices are of one length; the scale is finite and above zero.
#[inline(always)]
pub(super) fn encode<S: Source, C: Code>(src: &[S], scale: f32, overflow: Overflow, dst: &mut [C]) {
    match overflow {
        Overflow::Saturate => encode_as::<S, C, true>(src, scale, dst),
        Overflow::NonSaturating => encode_as::<S, C, false>(src, scale, dst),
    }
}

#[inline(always)]
fn encode_as<S: Source, C: Code, const SATURATE: bool>(src: &[S], scale: f32, dst: &mut [C]) {
    let (chunks, rest) = src.as_chunks::<LANES>();
    let (coded, coded_rest) = dst.as_chunks_mut::<LANES>();
    for (chunk, codes) in chunks.iter().zip(coded) {
        encode_chunk::<S, C, SATURATE>(chunk, scale, codes);
    }
    if !rest.is_empty() {
        let mut chunk = [S::from_f32(0.0); LANES];
        let mut codes = [code::<C>(0); LANES];
        chunk[..rest.len()].copy_from_slice(rest);
        encode_chunk::<S, C, SATURATE>(&chunk, scale, &mut codes);
        coded_rest.copy_from_slice(&codes[..rest.len()]);
    }
}

#[inline(always)]
fn encode_chunk<S: Source, C: Code, const SATURATE: bool>(
    src: &[S; LANES],
    scale: f32,
    dst: &mut [C; LANES],
) {
    for (code, &x) in dst.iter_mut().zip(src) {
        *code = encode_lane::<C, SATURATE>(widen(x), scale);
    }
}

#[inline(always)]
fn encode_lane<C: Code, const SATURATE: bool>(x: u32, scale: f32) -> C {
    let quotient = f32::from_bits(x) / scale;
    let Some(format) = (const { format_of(C::ELEMENT_TYPE) }) else {
        // 1.5 × 2^23: the sum's last place is 1, and its low byte the integer in two's complement.
        let sum = quotient.clamp(-127.0, 127.0) + 12_582_912.0;
        return code(if quotient.is_nan() { 0 } else { sum.to_bits() as u8 });
    };
    let limit = const { limit(C::ELEMENT_TYPE, SATURATE) }.to_bits();
    let offset = ((127 + format.min_exponent()) << format.mantissa_bits) as u8;
    // As the AVX2 kernel rounds (see `avx2::encode`); by integers, a NaN is above every limit.
    let rounded = round(
        (quotient.to_bits() & MAGNITUDE).min(limit),
        format.mantissa_bits,
        format.min_exponent(),
    );
    let magnitude = (rounded as u8).wrapping_sub(offset);
    let magnitude = if quotient.is_nan() { format.nan } else { magnitude };
    let sign = (x >> 24) as u8 & 0x80;
    let unsigned = format.fnuz && magnitude == 0;
    code(magnitude | if unsigned { 0 } else { sign })
}

/// Decodes `src × scale`. The slices are of one length; the scale is finite and above zero.
#[inline(always)]
pub(super) fn decode<C: Code, D: Source>(src: &[C], scale: f32, dst: &mut [D]) {
    let (chunks, rest) = src.as_chunks::<LANES>();
    let (decoded, decoded_rest) = dst.as_chunks_mut::<LANES>();
    for (chunk, out) in chunks.iter().zip(decoded) {
        for (x, &code) in out.iter_mut().zip(chunk) {
            *x = narrow((f32::from_bits(decode_lane(code)) * scale).to_bits());
        }
    }
    scalar::decode(rest, scale, decoded_rest);
}

/// The bits of a code's value.
#[inline(always)]
fn decode_lane<C: Code>(code: C) -> u32 {
    let code = byte(code);
    let Some(format) = (const { format_of(C::ELEMENT_TYPE) }) else {
        return f32::from(code.cast_signed()).to_bits();
    };
    let sign = u32::from(code & 0x80) << 24;
    let shifted = u32::from(code & 0x7f) << (23 - format.mantissa_bits);
    let number = rebias(shifted, 127 - format.bias);
    let infinite = format.has_infinity() && code & 0x7f == format.overflow;
    let number = if infinite { EXPONENT } else { number };
    sign | if format.is_nan(code) { QUIET_NAN } else { number }
}

/// The largest magnitude, NaN if any element is.
#[inline(always)]
pub(super) fn absmax<S: Source>(src: &[S]) -> f32 {
    let (chunks, rest) = src.as_chunks::<LANES>();
    // The bits of IEEE numbers order as magnitudes do, with NaNs above infinity.
    let mut max = [0; LANES];
    for chunk in chunks {
        for (max, &x) in max.iter_mut().zip(chunk) {
            *max = (widen(x) & MAGNITUDE).max(*max);
        }
    }
    let max = max.into_iter().fold(0, u32::max);
    let max = if max > EXPONENT { f32::NAN } else { f32::from_bits(max) };
    scalar::absmax(&[max, scalar::absmax(rest)])
}

const MAGNITUDE: u32 = 0x7fff_ffff;
const EXPONENT: u32 = 0x7f80_0000;
const QUIET_NAN: u32 = 0x7fc0_0000;

/// Rounds a magnitude to so many bits of mantissa, ties to even: the low bits of the result are the
/// number in the narrow format, plus `(127 + min_exponent) << mantissa_bits`. See `avx2::encode`.
#[inline(always)]
fn round(magnitude: u32, mantissa_bits: u32, min_exponent: i32) -> u32 {
    let smallest = ((127 + min_exponent) as u32) << 23;
    let binade = (magnitude & EXPONENT).max(smallest);
    let magic = binade + ((23 - mantissa_bits) << 23);
    let sum = f32::from_bits(magnitude) + f32::from_bits(magic);
    sum.to_bits().wrapping_add(binade >> (23 - mantissa_bits))
}

/// A number whose exponent field is `bias` too small and whose exponent 0 means subnormal: the
/// latter is found by taking the hidden bit off again, in a subtraction of normal numbers.
#[inline(always)]
fn rebias(bits: u32, bias: i32) -> u32 {
    let bias = (bias as u32) << 23;
    let hidden = bias + (1 << 23);
    let subnormal = (f32::from_bits(bits + hidden) - f32::from_bits(hidden)).to_bits();
    if bits < 1 << 23 { subnormal } else { bits + bias }
}

/// The bits of an element's value as `f32`.
#[inline(always)]
fn widen<S: Source>(x: S) -> u32 {
    match S::ELEMENT_TYPE {
        ElementType::F32 => x.to_f32().to_bits(),
        ElementType::Bf16 => u32::from(half_bits(x)) << 16,
        _ => {
            let half = u32::from(half_bits(x));
            let sign = (half & 0x8000) << 16;
            let shifted = (half & 0x7fff) << 13;
            let number = rebias(shifted, 127 - 15);
            // Infinity and NaN: an exponent field of ones.
            sign | if shifted >= 31 << 23 { shifted | EXPONENT } else { number }
        }
    }
}

/// The element nearest to a value, which is no NaN but the quiet one with no other payload.
#[inline(always)]
fn narrow<D: Source>(bits: u32) -> D {
    match D::ELEMENT_TYPE {
        ElementType::F32 => D::from_f32(f32::from_bits(bits)),
        ElementType::Bf16 => {
            let rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
            let nan = bits & MAGNITUDE > EXPONENT;
            from_half_bits(if nan { bits >> 16 } else { rounded } as u16)
        }
        _ => {
            let magnitude = bits & MAGNITUDE;
            // From 65520 on, halfway beyond the largest finite half, it rounds to infinity.
            let infinite = magnitude >= 65520.0_f32.to_bits();
            let rounded = round(magnitude, 10, -14).wrapping_sub(113 << 10);
            let half = if infinite { 0x7c00 } else { rounded };
            let half = if magnitude > EXPONENT { 0x7e00 } else { half };
            from_half_bits((half | bits >> 16 & 0x8000) as u16)
        }
    }
}

/// The bits of an `f16` or a `bf16`.
#[inline(always)]
fn half_bits<S: Source>(x: S) -> u16 {
    assert!(size_of::<S>() == 2);
    // SAFETY: the types of two bytes are `f16` and `bf16`, transparent over `u16`.
    unsafe { core::mem::transmute_copy(&x) }
}

#[inline(always)]
fn from_half_bits<S: Source>(bits: u16) -> S {
    assert!(size_of::<S>() == 2);
    // SAFETY: as for `half_bits`; every pattern is a value.
    unsafe { core::mem::transmute_copy(&bits) }
}

#[inline(always)]
fn code<C: Code>(bits: u8) -> C {
    // SAFETY: a code is one byte of which every pattern is valid.
    unsafe { core::mem::transmute_copy(&bits) }
}

#[inline(always)]
fn byte<C: Code>(code: C) -> u8 {
    // SAFETY: a code is one byte.
    unsafe { core::mem::transmute_copy(&code) }
}
