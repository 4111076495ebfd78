//! Codes to `f32` lanes, through binary16: F16C widens it exactly, subnormals at full speed.

use core::arch::x86_64::*;

use crate::code::Code;
use crate::element_type::ElementType;

/// What a raw lane of [`raw_f32x16`] is to be multiplied by: a power of two.
#[inline]
pub const fn raw_factor<C: Code>() -> f32 {
    match C::ELEMENT_TYPE {
        // The exponent fields are read with binary16's bias of 15: 15 - 7, and 15 - 8.
        ElementType::F8E4M3 => 256.0,
        ElementType::F8E4M3Fnuz => 128.0,
        _ => 1.0,
    }
}

/// Reads sixteen codes.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub fn load_codes<C: Code>(codes: &[C; 16]) -> __m128i {
    // SAFETY: a code is one byte, so the array is the 16 bytes that an unaligned load reads.
    unsafe { _mm_loadu_si128(codes.as_ptr().cast()) }
}

/// Reads 32 codes.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub fn load_codes_x32<C: Code>(codes: &[C; 32]) -> __m256i {
    // SAFETY: a code is one byte, so the array is the 32 bytes that an unaligned load reads.
    unsafe { _mm256_loadu_si256(codes.as_ptr().cast()) }
}

/// The values of 32 codes.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub fn decode_f32x32<C: Code>(codes: __m256i) -> [__m256; 4] {
    times_factor::<C, 4>(raw_f32x32::<C>(codes))
}

/// The values of sixteen codes.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub fn decode_f32x16<C: Code>(codes: __m128i) -> [__m256; 2] {
    times_factor::<C, 2>(raw_f32x16::<C>(codes))
}

/// The values of eight codes, in the lower half of `codes`.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub fn decode_f32x8<C: Code>(codes: __m128i) -> __m256 {
    let [lanes] = times_factor::<C, 1>([raw_f32x8::<C>(codes)]);
    lanes
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn times_factor<C: Code, const N: usize>(mut raw: [__m256; N]) -> [__m256; N] {
    let factor = const { raw_factor::<C>() };
    if factor != 1.0 {
        for lanes in &mut raw {
            *lanes = _mm256_mul_ps(*lanes, _mm256_set1_ps(factor));
        }
    }
    raw
}

/// As [`raw_f32x16`], for 32 codes.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub fn raw_f32x32<C: Code>(codes: __m256i) -> [__m256; 4] {
    if let ElementType::F8E5M2 = C::ELEMENT_TYPE {
        // The upper bytes of binary16 numbers, so that NaNs can be put right in half the space.
        let magnitude = _mm256_and_si256(codes, _mm256_set1_epi8(0x7f));
        let nan = _mm256_cmpgt_epi8(magnitude, _mm256_set1_epi8(0x7c));
        let codes = _mm256_add_epi8(e5m2_all_ones(codes, nan, _mm256_set1_epi8(3)), nan);
        let even = _mm256_unpacklo_epi8(_mm256_setzero_si256(), codes);
        let odd = _mm256_unpackhi_epi8(_mm256_setzero_si256(), codes);
        return [
            _mm256_cvtph_ps(_mm256_castsi256_si128(even)),
            _mm256_cvtph_ps(_mm256_castsi256_si128(odd)),
            _mm256_cvtph_ps(_mm256_extracti128_si256::<1>(even)),
            _mm256_cvtph_ps(_mm256_extracti128_si256::<1>(odd)),
        ];
    }
    let [a, b] = raw_f32x16::<C>(_mm256_castsi256_si128(codes));
    let [c, d] = raw_f32x16::<C>(_mm256_extracti128_si256::<1>(codes));
    [a, b, c, d]
}

/// The values of sixteen codes, each divided by [`raw_factor`]: saves a multiplication where the
/// factor can be made part of a scale that is applied later.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub fn raw_f32x16<C: Code>(codes: __m128i) -> [__m256; 2] {
    if let ElementType::Int8 = C::ELEMENT_TYPE {
        return [raw_f32x8::<C>(codes), raw_f32x8::<C>(_mm_unpackhi_epi64(codes, codes))];
    }
    let half = f16_lanes::<C>(_mm256_cvtepi8_epi16(codes));
    [
        _mm256_cvtph_ps(_mm256_castsi256_si128(half)),
        _mm256_cvtph_ps(_mm256_extracti128_si256::<1>(half)),
    ]
}

/// As [`raw_f32x16`], for eight codes in the lower half of `codes`.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub fn raw_f32x8<C: Code>(codes: __m128i) -> __m256 {
    if let ElementType::Int8 = C::ELEMENT_TYPE {
        return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(codes));
    }
    // The upper half is not used, and the compiler drops what would compute it.
    let half = f16_lanes::<C>(_mm256_castsi128_si256(_mm_cvtepi8_epi16(codes)));
    _mm256_cvtph_ps(_mm256_castsi256_si128(half))
}

/// Binary16 numbers whose values are the codes' over [`raw_factor`]. The codes come sign-extended.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn f16_lanes<C: Code>(codes: __m256i) -> __m256i {
    let magnitude = _mm256_and_si256(codes, _mm256_set1_epi16(0x7f));
    match C::ELEMENT_TYPE {
        ElementType::F8E4M3 => {
            // Sign extension has put the sign at bit 15 already, and its copy at bit 14.
            let half = e4m3_lanes(codes);
            let nan = _mm256_cmpeq_epi16(magnitude, _mm256_set1_epi16(0x7f));
            // 0x3f80, which a NaN became, to 0x7e00.
            _mm256_xor_si256(half, _mm256_and_si256(nan, _mm256_set1_epi16(0x4180)))
        }
        ElementType::F8E4M3Fnuz => fnuz_nan(codes, e4m3_lanes(codes)),
        ElementType::F8E5M2 => {
            // The upper byte of a binary16.
            let nan = _mm256_cmpgt_epi16(magnitude, _mm256_set1_epi16(0x7c));
            let codes = _mm256_add_epi16(e5m2_all_ones(codes, nan, _mm256_set1_epi16(3)), nan);
            _mm256_slli_epi16::<8>(codes)
        }
        _ => {
            // E5M2 FNUZ: the exponent field is one more than binary16's for the same value. Below
            // magnitude 8 taking one off makes a subnormal, which is the magnitude shifted less.
            // There that is the larger of the two, elsewhere the smaller.
            let normal =
                _mm256_sub_epi16(_mm256_slli_epi16::<8>(magnitude), _mm256_set1_epi16(0x0400));
            let half = _mm256_max_epi16(normal, _mm256_slli_epi16::<7>(magnitude));
            let sign = _mm256_and_si256(codes, _mm256_set1_epi16(i16::MIN));
            fnuz_nan(codes, _mm256_or_si256(half, sign))
        }
    }
}

/// E5M2 codes with NaNs 0x7d, 0x7e and 0x7f all as 0x7f. Adding the mask, which is -1 there, makes
/// them the 0x7e they are to be.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn e5m2_all_ones(codes: __m256i, nan: __m256i, mantissa: __m256i) -> __m256i {
    _mm256_or_si256(codes, _mm256_and_si256(nan, mantissa))
}

/// Exponent and mantissa of an E4M3 code where binary16 has them, and the sign.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn e4m3_lanes(codes: __m256i) -> __m256i {
    _mm256_and_si256(_mm256_slli_epi16::<7>(codes), _mm256_set1_epi16(!0x4000))
}

/// Puts a NaN where the code is 0x80, the negative zero that FNUZ does not have.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn fnuz_nan(codes: __m256i, half: __m256i) -> __m256i {
    let nan = _mm256_cmpeq_epi16(codes, _mm256_set1_epi16(-0x80));
    _mm256_or_si256(half, _mm256_and_si256(nan, _mm256_set1_epi16(0x7e00)))
}
