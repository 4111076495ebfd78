//! Stored elements to f32 in registers, in their natural order.
//!
//! FP8 goes through half precision, where every value of every FP8 format is exact, subnormals
//! included. (Moving the bits straight into an f32 and multiplying by 2^120 takes fewer
//! instructions, but makes FP8 subnormals f32 subnormals; on Intel processors each multiplication
//! of one costs 150 cycles. `vcvtph2ps` has no such penalty.)

use std::arch::x86_64::*;

/// How one storage type becomes f32.
///
/// # Safety of its functions
/// AVX2 and F16C are present, and the 8 or 16 elements at the pointer may be read.
pub(super) trait Codec {
    /// Bytes per element.
    const SIZE: usize;
    /// `value = converted × FACTOR`.
    const FACTOR: f32;

    /// 16 elements.
    #[inline(always)]
    unsafe fn pair(p: *const u8) -> [__m256; 2] {
        // SAFETY: the trait's contract.
        unsafe { [Self::single(p), Self::single(p.add(8 * Self::SIZE))] }
    }
    /// 8 elements.
    unsafe fn single(p: *const u8) -> __m256;
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

impl Codec for F32 {
    const SIZE: usize = 4;
    const FACTOR: f32 = 1.0;

    #[inline(always)]
    unsafe fn single(p: *const u8) -> __m256 {
        // SAFETY: the trait's contract.
        unsafe { _mm256_loadu_ps(p.cast()) }
    }
}

impl Codec for F16 {
    const SIZE: usize = 2;
    const FACTOR: f32 = 1.0;

    #[inline(always)]
    unsafe fn single(p: *const u8) -> __m256 {
        // SAFETY: the trait's contract.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(p.cast())) }
    }
}

impl Codec for Bf16 {
    const SIZE: usize = 2;
    const FACTOR: f32 = 1.0;

    #[inline(always)]
    unsafe fn single(p: *const u8) -> __m256 {
        // SAFETY: the trait's contract.
        unsafe {
            let x = _mm256_cvtepu16_epi32(_mm_loadu_si128(p.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(x))
        }
    }
}

/// Codecs that make 16 halves of 16 sign-extended codes, 8 of 8.
macro_rules! through_half {
    ($name:ident <$nan:ident>, $factor:expr, |$x:ident| $half:expr) => {
        impl<const $nan: bool> Codec for $name<$nan> {
            const SIZE: usize = 1;
            const FACTOR: f32 = $factor;

            #[inline(always)]
            unsafe fn pair(p: *const u8) -> [__m256; 2] {
                // SAFETY: the trait's contract.
                unsafe {
                    let $x = _mm256_cvtepi8_epi16(_mm_loadu_si128(p.cast()));
                    let half = $half;
                    [
                        _mm256_cvtph_ps(_mm256_castsi256_si128(half)),
                        _mm256_cvtph_ps(_mm256_extracti128_si256::<1>(half)),
                    ]
                }
            }

            #[inline(always)]
            unsafe fn single(p: *const u8) -> __m256 {
                // SAFETY: the trait's contract.
                unsafe {
                    let $x = _mm256_cvtepi8_epi16(_mm_loadl_epi64(p.cast()));
                    _mm256_cvtph_ps(_mm256_castsi256_si128($half))
                }
            }
        }
    };
}

// The exponent's bias is 15 in a half and 7 in E4M3: what is left out is 2^8.
through_half!(E4M3<NAN>, 256.0, |x| {
    let half = e4m3_bits(x);
    if NAN { nan_where(half, _mm256_set1_epi16(0x7fff), 0x3f80) } else { half }
});

// As E4M3 with a bias of 8. The code of −0 is NaN.
through_half!(E4M3Fnuz<NAN>, 128.0, |x| {
    let half = e4m3_bits(x);
    if NAN { nan_where(half, _mm256_set1_epi16(-1), i16::MIN) } else { half }
});

// The exponent's bias is 16 in this format and 15 in a half, so the exponent falls by one; a code
// of exponent 1 becomes a subnormal half, whose mantissa has the hidden bit in sight. The larger
// of the two forms is the right one.
through_half!(E5M2Fnuz<NAN>, 1.0, |x| {
    let word = _mm256_slli_epi16::<8>(x);
    let magnitude = _mm256_and_si256(word, _mm256_set1_epi16(0x7f00));
    let normal = _mm256_sub_epi16(magnitude, _mm256_set1_epi16(0x0400));
    let subnormal = _mm256_srli_epi16::<1>(magnitude);
    let sign = _mm256_and_si256(word, _mm256_set1_epi16(i16::MIN));
    let half = _mm256_or_si256(_mm256_max_epi16(normal, subnormal), sign);
    if NAN { nan_where(half, _mm256_set1_epi16(-1), i16::MIN) } else { half }
});

/// `SSSSSSSS SEEEEMMM` to `S0EEEEMM M0000000`.
///
/// # Safety
/// AVX2.
#[inline(always)]
unsafe fn e4m3_bits(x: __m256i) -> __m256i {
    // SAFETY: the caller's AVX2.
    unsafe {
        _mm256_and_si256(_mm256_slli_epi16::<7>(x), _mm256_set1_epi16(0xbf80_u16.cast_signed()))
    }
}

/// Sets all bits, which is a NaN, where `half & mask == code`.
///
/// # Safety
/// AVX2.
#[inline(always)]
unsafe fn nan_where(half: __m256i, mask: __m256i, code: i16) -> __m256i {
    // SAFETY: the caller's AVX2.
    unsafe {
        let nan = _mm256_cmpeq_epi16(_mm256_and_si256(half, mask), _mm256_set1_epi16(code));
        _mm256_or_si256(half, nan)
    }
}

/// An E5M2 code is the upper byte of a half, infinities and NaNs included.
impl Codec for E5M2 {
    const SIZE: usize = 1;
    const FACTOR: f32 = 1.0;

    #[inline(always)]
    unsafe fn pair(p: *const u8) -> [__m256; 2] {
        // SAFETY: the trait's contract.
        unsafe {
            let (zero, x) = (_mm_setzero_si128(), _mm_loadu_si128(p.cast()));
            let (lower, upper) = (_mm_unpacklo_epi8(zero, x), _mm_unpackhi_epi8(zero, x));
            [_mm256_cvtph_ps(lower), _mm256_cvtph_ps(upper)]
        }
    }

    #[inline(always)]
    unsafe fn single(p: *const u8) -> __m256 {
        // SAFETY: the trait's contract.
        unsafe {
            _mm256_cvtph_ps(_mm_unpacklo_epi8(_mm_setzero_si128(), _mm_loadl_epi64(p.cast())))
        }
    }
}

impl Codec for Int8 {
    const SIZE: usize = 1;
    const FACTOR: f32 = 1.0;

    #[inline(always)]
    unsafe fn single(p: *const u8) -> __m256 {
        // SAFETY: the trait's contract.
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(p.cast()))) }
    }
}
