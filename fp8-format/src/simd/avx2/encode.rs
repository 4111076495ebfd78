//! `f32` lanes to codes.

use core::arch::x86_64::*;

use super::wide::{in_order, narrow, signs_of};
use crate::code::Code;
use crate::format::{Format, Overflow, format_of, limit};
use crate::source::Source;

/// Writes 32 codes.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub fn store_codes<C: Code>(codes: __m256i, dst: &mut [C; 32]) {
    // SAFETY: a code is one byte of which every pattern is valid, so the array is the 32 bytes
    // that an unaligned store writes.
    unsafe { _mm256_storeu_si256(dst.as_mut_ptr().cast(), codes) }
}

/// Writes 64 codes past the caches. They must be aligned to 32 bytes.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn stream_codes<C: Code>(low: __m256i, high: __m256i, dst: &mut [C; 64]) {
    let dst = dst.as_mut_ptr().cast::<__m256i>();
    debug_assert!(dst.is_aligned());
    // SAFETY: a code is one byte of which every pattern is valid, so the array is the 64 bytes of
    // two stores; the caller has aligned it.
    unsafe {
        _mm256_stream_si256(dst, low);
        _mm256_stream_si256(dst.add(1), high);
    }
}

/// The codes of eight lanes, in the lower half of the result.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub fn encode_f32x8<C: Code>(x: __m256, overflow: Overflow) -> __m128i {
    _mm256_castsi256_si128(encode_f32x32::<C>([x; 4], overflow))
}

/// The codes of 32 lanes, in order.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub fn encode_f32x32<C: Code>(x: [__m256; 4], overflow: Overflow) -> __m256i {
    let signs = signs_of(x);
    match overflow {
        Overflow::Saturate => encode::<f32, C, true>(x, signs),
        Overflow::NonSaturating => encode::<f32, C, false>(x, signs),
    }
}

/// The codes of 32 elements of an `S`, in order: `x` holds their values, in the order in which `S`
/// was loaded, and `signs` a byte for each, negative where the element is.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn encode<S: Source, C: Code, const SATURATE: bool>(
    x: [__m256; 4],
    signs: __m256i,
) -> __m256i {
    let codes = match const { format_of(C::ELEMENT_TYPE) } {
        Some(format) => fp8::<S, C, SATURATE>(x, signs, format),
        None => {
            let [a, b, c, d] = x;
            narrow::<S>([int8_lanes(a), int8_lanes(b), int8_lanes(c), int8_lanes(d)])
        }
    };
    in_order::<S>(codes)
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn fp8<S: Source, C: Code, const SATURATE: bool>(
    x: [__m256; 4],
    signs: __m256i,
    format: &Format,
) -> __m256i {
    let limit = _mm256_set1_ps(const { limit(C::ELEMENT_TYPE, SATURATE) });
    let min_exponent = format.min_exponent();
    let [a, b, c, d] = x;
    let [ra, rb, rc, rd] = match format.mantissa_bits {
        2 => [
            round::<2>(a, limit, min_exponent),
            round::<2>(b, limit, min_exponent),
            round::<2>(c, limit, min_exponent),
            round::<2>(d, limit, min_exponent),
        ],
        _ => [
            round::<3>(a, limit, min_exponent),
            round::<3>(b, limit, min_exponent),
            round::<3>(c, limit, min_exponent),
            round::<3>(d, limit, min_exponent),
        ],
    };
    // `round` left the field of the smallest binade in: it is taken off here, for all at once.
    let offset = (127 + min_exponent) << format.mantissa_bits;
    let offset = _mm256_set1_epi8(offset as i8);
    let mut codes = _mm256_sub_epi8(narrow::<S>([ra, rb, rc, rd]), offset);

    // A NaN has become the limit, which is right already where that overflows to NaN.
    if SATURATE || format.has_infinity() {
        let unordered =
            _mm256_or_ps(_mm256_cmp_ps::<_CMP_UNORD_Q>(a, b), _mm256_cmp_ps::<_CMP_UNORD_Q>(c, d));
        if _mm256_movemask_ps(unordered) != 0 {
            let nan = narrow::<S>([nan_lanes(a), nan_lanes(b), nan_lanes(c), nan_lanes(d)]);
            codes = _mm256_blendv_epi8(codes, _mm256_set1_epi8(format.nan as i8), nan);
        }
    }

    let mut sign = _mm256_and_si256(signs, _mm256_set1_epi8(i8::MIN));
    if format.fnuz {
        sign = _mm256_andnot_si256(_mm256_cmpeq_epi8(codes, _mm256_setzero_si256()), sign);
    }
    _mm256_or_si256(codes, sign)
}

/// Rounds magnitudes. The low byte of a lane is the code's magnitude plus a constant; the rest is
/// of no use.
///
/// `2^23` times the code's last place is added, which makes the last place of the sum that of the
/// code: the addition itself rounds, ties to even, and leaves the significand in the low bits. In
/// the smallest binade, and below it, the last place is the same: subnormals need nothing else.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn round<const MANTISSA_BITS: i32>(x: __m256, limit: __m256, min_exponent: i32) -> __m256i {
    let magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0), x);
    // Of two operands of which one is NaN, the second is taken: a NaN becomes the limit.
    let magnitude = _mm256_min_ps(magnitude, limit);
    let binade = _mm256_max_epi32(
        _mm256_and_si256(_mm256_castps_si256(magnitude), _mm256_set1_epi32(0x7f80_0000)),
        _mm256_set1_epi32((127 + min_exponent) << 23),
    );
    let magic = _mm256_add_epi32(binade, _mm256_set1_epi32((23 - MANTISSA_BITS) << 23));
    let sum = _mm256_add_ps(magnitude, _mm256_castsi256_ps(magic));
    let field = match MANTISSA_BITS {
        2 => _mm256_srli_epi32::<21>(binade),
        _ => _mm256_srli_epi32::<20>(binade),
    };
    _mm256_add_epi32(_mm256_castps_si256(sum), field)
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn nan_lanes(x: __m256) -> __m256i {
    _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(x, x))
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn int8_lanes(x: __m256) -> __m256i {
    // NaN becomes 0; the conversion rounds, ties to even.
    let x = _mm256_and_ps(x, _mm256_cmp_ps::<_CMP_ORD_Q>(x, x));
    let x = _mm256_min_ps(x, _mm256_set1_ps(127.0));
    _mm256_cvtps_epi32(_mm256_max_ps(x, _mm256_set1_ps(-127.0)))
}
