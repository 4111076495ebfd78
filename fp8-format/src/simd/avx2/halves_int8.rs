//! INT8 codes of `f16` and `bf16`. As for FP8, what can be is done for sixteen elements at once; packing
//! saturates, so only what is no ordinary number needs a look of its own.

use core::arch::x86_64::*;

use super::halves::{Divisor, magnitudes};
use super::wide::{load, load_halves, order_dwords};
use crate::element_type::ElementType;
use crate::source::Source;

/// The codes of 32 elements, divided by the scale if `SCALED`, in order; `None` if the elements are to
/// be looked at one by one.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn encode<S: Source, const SCALED: bool>(
    src: &[S; 32],
    divisor: Divisor,
) -> Option<__m256i> {
    match S::ELEMENT_TYPE {
        ElementType::F16 => from_f16::<S, SCALED>(src, divisor.scale),
        _ => Some(from_bf16::<S, SCALED>(src, divisor)),
    }
}

/// No quotient but infinity is beyond the integers of 32 bits, and what is becomes the smallest of
/// these, as NaN does: that is seen in the end.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn from_f16<S: Source, const SCALED: bool>(src: &[S; 32], scale: __m256) -> Option<__m256i> {
    let (vectors, _) = src.as_chunks::<8>();
    let a = integers::<SCALED>(load(&vectors[0]), scale);
    let b = integers::<SCALED>(load(&vectors[1]), scale);
    let c = integers::<SCALED>(load(&vectors[2]), scale);
    let d = integers::<SCALED>(load(&vectors[3]), scale);
    let mut bytes = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    let smallest = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(i8::MIN));
    if _mm256_movemask_epi8(smallest) != 0 {
        let [low, high] = load_halves(src);
        let largest = _mm256_max_epi16(magnitudes(low), magnitudes(high));
        let finite = _mm256_set1_epi16(0x7bff);
        if _mm256_movemask_epi8(_mm256_cmpgt_epi16(largest, finite)) != 0 {
            return None;
        }
        // A number below the range.
        bytes = _mm256_max_epi8(bytes, _mm256_set1_epi8(-127));
    }
    Some(order_dwords(bytes))
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn integers<const SCALED: bool>(x: __m256, scale: __m256) -> __m256i {
    // The conversion rounds, ties to even.
    _mm256_cvtps_epi32(if SCALED { _mm256_div_ps(x, scale) } else { x })
}

/// Magnitudes are limited, and looked through for NaNs, before they are divided.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn from_bf16<S: Source, const SCALED: bool>(src: &[S; 32], divisor: Divisor) -> __m256i {
    let [low, high] = load_halves(src);
    let [m, n] = [magnitudes(low), magnitudes(high)];
    let words = [
        pairs::<SCALED>(low, _mm256_min_epi16(m, divisor.largest), divisor.scale),
        pairs::<SCALED>(high, _mm256_min_epi16(n, divisor.largest), divisor.scale),
    ];
    // The limit's quotient may round to 128, which saturates; -128 has to be cut off.
    let bytes = _mm256_packs_epi16(words[0], words[1]);
    let mut codes = _mm256_max_epi8(bytes, _mm256_set1_epi8(-127));
    let infinity = _mm256_set1_epi16(0x7f80);
    if _mm256_movemask_epi8(_mm256_cmpgt_epi16(_mm256_max_epi16(m, n), infinity)) != 0 {
        let nan =
            _mm256_packs_epi16(_mm256_cmpgt_epi16(m, infinity), _mm256_cmpgt_epi16(n, infinity));
        codes = _mm256_andnot_si256(nan, codes);
    }
    _mm256_permute4x64_epi64::<0b11_01_10_00>(codes)
}

/// Sixteen integers of sixteen magnitudes with the signs of `x`. Each 32-bit lane has two elements: the
/// even one below, the odd one above.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn pairs<const SCALED: bool>(x: __m256i, magnitude: __m256i, scale: __m256) -> __m256i {
    let sign = _mm256_and_si256(x, _mm256_set1_epi16(i16::MIN));
    let x = _mm256_or_si256(magnitude, sign);
    let even = _mm256_castsi256_ps(_mm256_slli_epi32::<16>(x));
    let odd = _mm256_castsi256_ps(_mm256_and_si256(x, _mm256_set1_epi32(-0x1_0000)));
    let even = integers::<SCALED>(even, scale);
    let odd = integers::<SCALED>(odd, scale);
    _mm256_blend_epi16::<0b1010_1010>(even, _mm256_slli_epi32::<16>(odd))
}
