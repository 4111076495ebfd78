//! `f32` lanes to codes.

use core::arch::x86_64::*;

use crate::code::Code;
use crate::format::{Format, Overflow, format_of};

/// Writes 32 codes.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub fn store_codes<C: Code>(codes: __m256i, dst: &mut [C; 32]) {
    // SAFETY: a code is one byte of which every pattern is valid, so the array is the 32 bytes
    // that an unaligned store writes.
    unsafe { _mm256_storeu_si256(dst.as_mut_ptr().cast(), codes) }
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
    match overflow {
        Overflow::Saturate => encode::<C, true>(x),
        Overflow::NonSaturating => encode::<C, false>(x),
    }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn encode<C: Code, const SATURATE: bool>(x: [__m256; 4]) -> __m256i {
    let codes = match const { format_of(C::ELEMENT_TYPE) } {
        Some(format) => fp8::<C, SATURATE>(x, format),
        None => int8(x),
    };
    // Narrowing worked within each half of the register; this puts the lanes back in order.
    _mm256_permutevar8x32_epi32(codes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))
}

/// `C` is there so that each format gets its own copy, with its constants in it.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn fp8<C: Code, const SATURATE: bool>(x: [__m256; 4], format: &Format) -> __m256i {
    let overflow = if SATURATE { Overflow::Saturate } else { Overflow::NonSaturating };
    let limit = _mm256_set1_ps(format.limit(overflow));
    let [a, b, c, d] = x;
    let narrow = low_bytes([
        round::<C>(a, limit, format),
        round::<C>(b, limit, format),
        round::<C>(c, limit, format),
        round::<C>(d, limit, format),
    ]);
    // `round` left the field of the smallest binade in: it is taken off here, for all at once.
    let offset = (127 + format.min_exponent()) << format.mantissa_bits;
    let mut codes = _mm256_sub_epi8(narrow, _mm256_set1_epi8(offset as i8));

    // A NaN has become the limit, which is right already where that overflows to NaN.
    if SATURATE || format.has_infinity() {
        let unordered =
            _mm256_or_ps(_mm256_cmp_ps::<_CMP_UNORD_Q>(a, b), _mm256_cmp_ps::<_CMP_UNORD_Q>(c, d));
        if _mm256_movemask_ps(unordered) != 0 {
            let nan = sign_bytes([
                _mm256_cmp_ps::<_CMP_UNORD_Q>(a, a),
                _mm256_cmp_ps::<_CMP_UNORD_Q>(b, b),
                _mm256_cmp_ps::<_CMP_UNORD_Q>(c, c),
                _mm256_cmp_ps::<_CMP_UNORD_Q>(d, d),
            ]);
            codes = _mm256_blendv_epi8(codes, _mm256_set1_epi8(format.nan as i8), nan);
        }
    }

    let mut sign = _mm256_and_si256(sign_bytes(x), _mm256_set1_epi8(i8::MIN));
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
fn round<C: Code>(x: __m256, limit: __m256, format: &Format) -> __m256i {
    let shift = 23 - format.mantissa_bits;
    let magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0), x);
    // Of two operands of which one is NaN, the second is taken: a NaN becomes the limit.
    let magnitude = _mm256_min_ps(magnitude, limit);
    let binade = _mm256_max_epi32(
        _mm256_and_si256(_mm256_castps_si256(magnitude), _mm256_set1_epi32(0x7f80_0000)),
        _mm256_set1_epi32((127 + format.min_exponent()) << 23),
    );
    let magic = _mm256_add_epi32(binade, _mm256_set1_epi32((shift << 23) as i32));
    let sum = _mm256_add_ps(magnitude, _mm256_castsi256_ps(magic));
    let field = _mm256_srl_epi32(binade, _mm_cvtsi32_si128(shift as i32));
    _mm256_add_epi32(_mm256_castps_si256(sum), field)
}

/// The low byte of each lane. Narrowing interleaves the halves of the registers.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn low_bytes(lanes: [__m256i; 4]) -> __m256i {
    let low = _mm256_set1_epi32(0xff);
    let [a, b, c, d] = lanes;
    _mm256_packus_epi16(
        _mm256_packus_epi32(_mm256_and_si256(a, low), _mm256_and_si256(b, low)),
        _mm256_packus_epi32(_mm256_and_si256(c, low), _mm256_and_si256(d, low)),
    )
}

/// A byte for each lane, negative where the lane is, in the same order.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn sign_bytes(lanes: [__m256; 4]) -> __m256i {
    let [a, b, c, d] = lanes;
    _mm256_packs_epi16(
        _mm256_packs_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b)),
        _mm256_packs_epi32(_mm256_castps_si256(c), _mm256_castps_si256(d)),
    )
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn int8(x: [__m256; 4]) -> __m256i {
    let [a, b, c, d] = x;
    _mm256_packs_epi16(
        _mm256_packs_epi32(int8_lanes(a), int8_lanes(b)),
        _mm256_packs_epi32(int8_lanes(c), int8_lanes(d)),
    )
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn int8_lanes(x: __m256) -> __m256i {
    // NaN becomes 0; the conversion rounds, ties to even.
    let x = _mm256_and_ps(x, _mm256_cmp_ps::<_CMP_ORD_Q>(x, x));
    let x = _mm256_min_ps(x, _mm256_set1_ps(127.0));
    _mm256_cvtps_epi32(_mm256_max_ps(x, _mm256_set1_ps(-127.0)))
}
