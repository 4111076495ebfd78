//! Stored elements to 16 f32 lanes, FP8 through half precision, where each value is
//! exact, subnormals included.

use std::arch::x86_64::*;

/// How one storage type becomes f32.
///
/// # Safety of its functions
/// AVX-512 F, BW, DQ and VL are present, and the elements at the pointer may be read.
pub(super) trait Codec {
    /// Bytes per element.
    const SIZE: usize;
    /// `value = converted × FACTOR`.
    const FACTOR: f32;

    /// 16 elements.
    unsafe fn all(p: *const u8) -> __m512;
    /// 8 elements and 8 zeros.
    unsafe fn half(p: *const u8) -> __m512;
}

pub(super) struct F32;
pub(super) struct F16;
pub(super) struct Bf16;
/// With `NAN`, NaN codes come out as NaN; without, as an arbitrary number.
pub(super) struct E4M3<const NAN: bool>;
pub(super) struct E5M2;
/// As [`E4M3`].
pub(super) struct E4M3Fnuz<const NAN: bool>;
/// As [`E4M3`].
pub(super) struct E5M2Fnuz<const NAN: bool>;
pub(super) struct Int8;

/// A codec from how it loads all or half of a vector, and what it does with that.
macro_rules! codec {
    ($name:ident $(<$nan:ident>)?, $size:expr, $factor:expr, $all:expr, $half:expr, |$x:ident| $convert:expr) => {
        impl $(<const $nan: bool>)? Codec for $name $(<$nan>)? {
            const SIZE: usize = $size;
            const FACTOR: f32 = $factor;

            #[inline(always)]
            unsafe fn all(p: *const u8) -> __m512 {
                // SAFETY: the trait's contract.
                unsafe {
                    let $x = $all(p.cast());
                    $convert
                }
            }

            #[inline(always)]
            unsafe fn half(p: *const u8) -> __m512 {
                // SAFETY: the trait's contract.
                unsafe {
                    let $x = $half(p.cast());
                    $convert
                }
            }
        }
    };
}

codec!(F32, 4, 1.0, _mm512_loadu_ps, |p| _mm512_maskz_loadu_ps(0xff, p), |x| x);
codec!(F16, 2, 1.0, _mm256_loadu_si256, eight_words, |x| _mm512_cvtph_ps(x));
codec!(Bf16, 2, 1.0, _mm256_loadu_si256, eight_words, |x| {
    _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(x)))
});
codec!(Int8, 1, 1.0, _mm_loadu_si128, _mm_loadl_epi64, |x| {
    _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(x))
});
// The exponent's bias is 15 in a half and 7 in E4M3: what is left out is 2^8.
codec!(E4M3<NAN>, 1, 256.0, _mm_loadu_si128, _mm_loadl_epi64, |x| {
    let half = e4m3_bits(x);
    let nan = if NAN {
        _mm256_cmpeq_epi16_mask(_mm256_and_si256(half, words(0x7fff)), words(0x3f80))
    } else {
        0
    };
    through_half::<NAN>(half, nan)
});
// As E4M3 with a bias of 8. The code of −0 is NaN.
codec!(E4M3Fnuz<NAN>, 1, 128.0, _mm_loadu_si128, _mm_loadl_epi64, |x| {
    let half = e4m3_bits(x);
    let nan = if NAN { _mm256_cmpeq_epi16_mask(half, words(i16::MIN)) } else { 0 };
    through_half::<NAN>(half, nan)
});
// The upper byte of a half, infinities and NaNs included.
codec!(E5M2, 1, 1.0, _mm_loadu_si128, _mm_loadl_epi64, |x| {
    _mm512_cvtph_ps(_mm256_slli_epi16::<8>(_mm256_cvtepu8_epi16(x)))
});
// The exponent's bias is 16 in this format and 15 in a half, so the exponent falls by one; a code
// of exponent 1 becomes a subnormal half, whose mantissa has the hidden bit in sight. The larger
// of the two forms is the right one.
codec!(E5M2Fnuz<NAN>, 1, 1.0, _mm_loadu_si128, _mm_loadl_epi64, |x| {
    let word = _mm256_slli_epi16::<8>(_mm256_cvtepu8_epi16(x));
    let magnitude = _mm256_and_si256(word, words(0x7f00));
    let normal = _mm256_sub_epi16(magnitude, words(0x0400));
    let subnormal = _mm256_srli_epi16::<1>(magnitude);
    let sign = _mm256_and_si256(word, words(i16::MIN));
    let half = _mm256_or_si256(_mm256_max_epi16(normal, subnormal), sign);
    let nan = if NAN { _mm256_cmpeq_epi16_mask(word, words(i16::MIN)) } else { 0 };
    through_half::<NAN>(half, nan)
});

/// # Safety
/// AVX-512; 16 bytes may be read.
#[inline(always)]
unsafe fn eight_words(p: *const __m128i) -> __m256i {
    // SAFETY: the caller's.
    unsafe { _mm256_zextsi128_si256(_mm_loadu_si128(p)) }
}

/// # Safety
/// AVX-512.
#[inline(always)]
unsafe fn words(x: i16) -> __m256i {
    // SAFETY: the caller's.
    unsafe { _mm256_set1_epi16(x) }
}

/// `SSSSSSSS SEEEEMMM` to `S0EEEEMM M0000000`.
///
/// # Safety
/// AVX-512.
#[inline(always)]
unsafe fn e4m3_bits(codes: __m128i) -> __m256i {
    // SAFETY: the caller's.
    unsafe {
        let x = _mm256_slli_epi16::<7>(_mm256_cvtepi8_epi16(codes));
        _mm256_and_si256(x, words(0xbf80_u16.cast_signed()))
    }
}

/// Halves to floats, all ones (a NaN) first where `nan` says.
///
/// # Safety
/// AVX-512.
#[inline(always)]
unsafe fn through_half<const NAN: bool>(half: __m256i, nan: __mmask16) -> __m512 {
    // SAFETY: the caller's.
    unsafe {
        _mm512_cvtph_ps(if NAN { _mm256_mask_blend_epi16(nan, half, words(-1)) } else { half })
    }
}
