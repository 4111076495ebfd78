//! FP8 codes to f32 in registers, 32 at a time.
//!
//! The bits of a code, moved to where an f32 has them, are its value but for a power of two, which
//! goes to the gains. That takes 9 instructions for 32 codes, against 16 through half precision
//! (`vcvtph2ps`), which wait for busy ports at that. But an FP8 subnormal becomes an f32 subnormal:
//! the same to processors of AMD; on Intel's, each multiplication of one costs some 150 cycles, and a
//! thread may have been told to take them for 0 (`subnormal`). So there is a second way, which makes subnormals normal by a table, and a third, which makes NaNs of
//! NaN codes, too. What they leave out differs by a power of two: products have the same bits.

use std::arch::x86_64::*;

use super::codec::{Codec, Storage};
use crate::cpu::order::Order;

/// A format: `SHIFT` is 4 with three bits of mantissa, 3 with two.
pub(super) trait Format {
    const SHIFT: i32;
    const BIAS: i32;
    /// Magnitudes from here on are NaN (or infinities); with 128 only the code of −0 is.
    const FIRST_NAN: i32;
}

pub(super) struct E4M3;
pub(super) struct E5M2;
pub(super) struct E4M3Fnuz;
pub(super) struct E5M2Fnuz;

impl Format for E4M3 {
    const SHIFT: i32 = 4;
    const BIAS: i32 = 7;
    const FIRST_NAN: i32 = 0x7f;
}

impl Format for E5M2 {
    const SHIFT: i32 = 3;
    const BIAS: i32 = 15;
    const FIRST_NAN: i32 = 0x7c;
}

impl Format for E4M3Fnuz {
    const SHIFT: i32 = 4;
    const BIAS: i32 = 8;
    const FIRST_NAN: i32 = 0x80;
}

impl Format for E5M2Fnuz {
    const SHIFT: i32 = 3;
    const BIAS: i32 = 16;
    const FIRST_NAN: i32 = 0x80;
}

/// Bits moved: subnormals stay that. NaN codes become arbitrary numbers.
pub(super) struct Moved<F>(F);
/// Subnormals made normal; with `NAN`, NaN codes made NaN. Else as [`Moved`].
pub(super) struct Normal<F, const NAN: bool>(F);

/// Added to every magnitude where subnormals are made normal: room for their exponents below.
const RAISE: i32 = 0x70;
/// The binary logarithm of the factor that is left to the results.
const LEFT: i32 = 60;

impl<F: Format> Storage for F {
    type Plain = Moved<F>;
    type Subnormal = Normal<F, false>;
    type Nan = Normal<F, true>;
    const ORDER: Order = Order::Interleaved;
    // An f32's bias is 127.
    const GAINS: [f32; 2] = [
        power_of_two(127 - F::BIAS - LEFT),
        power_of_two(127 - F::BIAS - LEFT - (RAISE >> (F::SHIFT - 1))),
    ];
    const FACTOR: f32 = power_of_two(LEFT);
}

const fn power_of_two(exponent: i32) -> f32 {
    f32::from_bits(((127 + exponent) << 23).cast_unsigned())
}

/// `SEEEEMMM` at the upper end of 16 bits to `S000EEEE MMM00000` and `S00EEEEE MM000000` likewise:
/// the upper half of an f32 without the exponent's upper bits.
///
/// # Safety
/// AVX2.
#[inline(always)]
unsafe fn moved<F: Format>(x: __m256i) -> __m256i {
    // SAFETY: the caller's AVX2.
    unsafe {
        if F::SHIFT == 4 {
            let mask = _mm256_set1_epi16(0x87f0_u16.cast_signed());
            _mm256_and_si256(_mm256_srai_epi16::<4>(x), mask)
        } else {
            let mask = _mm256_set1_epi16(0x8fe0_u16.cast_signed());
            _mm256_and_si256(_mm256_srai_epi16::<3>(x), mask)
        }
    }
}

/// Upper halves of f32s to f32s.
///
/// # Safety
/// AVX2.
#[inline(always)]
unsafe fn widen(x: __m256i) -> [__m256; 2] {
    // SAFETY: the caller's AVX2.
    unsafe {
        let zero = _mm256_setzero_si256();
        let (lower, upper) = (_mm256_unpacklo_epi16(zero, x), _mm256_unpackhi_epi16(zero, x));
        [_mm256_castsi256_ps(lower), _mm256_castsi256_ps(upper)]
    }
}

impl<F: Format> Codec for Moved<F> {
    const SIZE: usize = 1;

    #[inline(always)]
    unsafe fn half(p: *const u8, last: bool) -> [__m256; 2] {
        // SAFETY: the trait's contract.
        unsafe {
            let x = _mm256_loadu_si256(p.cast());
            widen(moved::<F>(if last { _mm256_slli_epi16::<8>(x) } else { x }))
        }
    }

    #[inline(always)]
    unsafe fn single(p: *const u8) -> __m256 {
        // SAFETY: the trait's contract.
        unsafe {
            let x = _mm256_cvtepi8_epi32(_mm_loadl_epi64(p.cast()));
            let x = moved::<F>(_mm256_slli_epi32::<24>(x));
            _mm256_castsi256_ps(_mm256_and_si256(x, _mm256_set1_epi32(-1 << 16)))
        }
    }
}

impl<F: Format, const NAN: bool> Normal<F, NAN> {
    /// Magnitudes of codes, subnormals made normal: exponent and mantissa in 8 bits, of each byte.
    ///
    /// # Safety
    /// AVX2.
    #[inline(always)]
    unsafe fn magnitudes(x: __m256i) -> __m256i {
        // SAFETY: the caller's AVX2.
        unsafe {
            // What a magnitude below 16 still lacks after `RAISE` was added. Larger ones have their
            // uppermost bit set by then, for which `pshufb` gives 0.
            let table = if F::SHIFT == 4 {
                _mm_setr_epi8(-0x70, -17, -10, -7, -4, -3, -2, -1, 0, 0, 0, 0, 0, 0, 0, 0)
            } else {
                _mm_setr_epi8(-0x70, -5, -2, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
            };
            let m = _mm256_and_si256(x, _mm256_set1_epi8(0x7f));
            let raised = _mm256_add_epi8(m, _mm256_set1_epi8(RAISE as i8));
            let lacking = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), raised);
            _mm256_add_epi8(raised, lacking)
        }
    }

    /// All ones in each byte that is a NaN or an infinity.
    ///
    /// # Safety
    /// AVX2.
    #[inline(always)]
    unsafe fn nans(x: __m256i) -> __m256i {
        // SAFETY: the caller's AVX2.
        unsafe {
            if F::FIRST_NAN == 0x80 {
                return _mm256_cmpeq_epi8(x, _mm256_set1_epi8(i8::MIN));
            }
            let m = _mm256_and_si256(x, _mm256_set1_epi8(0x7f));
            _mm256_cmpgt_epi8(m, _mm256_set1_epi8((F::FIRST_NAN - 1) as i8))
        }
    }

    /// The upper halves of f32s from the codes in the upper bytes of 16 bits; `m` are the products
    /// of their magnitudes.
    ///
    /// # Safety
    /// AVX2.
    #[inline(always)]
    unsafe fn words(x: __m256i, m: __m256i) -> __m256i {
        // SAFETY: the caller's AVX2.
        unsafe {
            let mut word = _mm256_or_si256(m, _mm256_and_si256(x, _mm256_set1_epi16(i16::MIN)));
            if NAN {
                let nan = _mm256_srai_epi16::<8>(Self::nans(x));
                // Infinities keep their mantissa, which is 0.
                let bits = if F::FIRST_NAN == 0x7c { 0x7f80 } else { 0x7fc0 };
                word = _mm256_or_si256(word, _mm256_and_si256(nan, _mm256_set1_epi16(bits)));
            }
            word
        }
    }
}

impl<F: Format, const NAN: bool> Codec for Normal<F, NAN> {
    const SIZE: usize = 1;

    #[inline(always)]
    unsafe fn half(p: *const u8, last: bool) -> [__m256; 2] {
        // SAFETY: the trait's contract.
        unsafe {
            let x = _mm256_loadu_si256(p.cast());
            let m = Self::magnitudes(x);
            // The magnitude of every other byte, moved up by 8 − SHIFT.
            let move_up = 1 << (8 - F::SHIFT);
            widen(if last {
                let m = _mm256_maddubs_epi16(m, _mm256_set1_epi16(move_up));
                Self::words(_mm256_slli_epi16::<8>(x), m)
            } else {
                Self::words(x, _mm256_maddubs_epi16(m, _mm256_set1_epi16(move_up << 8)))
            })
        }
    }

    #[inline(always)]
    unsafe fn single(p: *const u8) -> __m256 {
        // SAFETY: the trait's contract.
        unsafe {
            let x = _mm256_slli_epi32::<24>(_mm256_cvtepi8_epi32(_mm_loadl_epi64(p.cast())));
            let move_up = 1 << (8 - F::SHIFT);
            let m = _mm256_maddubs_epi16(Self::magnitudes(x), _mm256_set1_epi16(move_up << 8));
            let x = Self::words(x, m);
            _mm256_castsi256_ps(_mm256_and_si256(x, _mm256_set1_epi32(-1 << 16)))
        }
    }
}

#[cfg(test)]
mod tests {
    use fp8_format::ElementType;

    use super::*;
    use crate::element;

    /// Every code at every place of a group, by all three ways: the value, but for the gain and what
    /// is left to the results.
    fn every_code<F: Format>(stored: ElementType) {
        if crate::simd::Avx2::detect().is_none() {
            return;
        }
        for code in 0..=255u8 {
            let codes: [u8; 32] = std::array::from_fn(|i| code.wrapping_add(7 * i as u8));
            let (mut values, mut wanted) = ([0.0; 32], [0.0; 32]);
            element::decode(stored, &codes, &mut values);
            F::ORDER.arrange(&values, &mut wanted, |x| x / F::FACTOR);
            let natural = values.map(|x| x / F::FACTOR);
            let [plain, careful] = F::GAINS;
            compare::<Moved<F>>(&codes, plain, &wanted, &natural, false);
            compare::<Normal<F, false>>(&codes, careful, &wanted, &natural, false);
            compare::<Normal<F, true>>(&codes, careful, &wanted, &natural, true);
        }
    }

    fn compare<C: Codec>(
        codes: &[u8; 32],
        gain: f32,
        wanted: &[f32; 32],
        natural: &[f32; 32],
        nan: bool,
    ) {
        let (mut got, mut eight) = ([0.0; 32], [0.0; 8]);
        // SAFETY: AVX2 was detected; there are 32 codes, and 8 in each quarter.
        unsafe {
            for (i, x) in C::quad(codes.as_ptr()).into_iter().enumerate() {
                _mm256_storeu_ps(got.as_mut_ptr().add(8 * i), x);
            }
        }
        for (got, wanted) in got.iter().zip(wanted) {
            same(got * gain, *wanted, nan);
        }
        for i in [0, 8, 16, 24] {
            // SAFETY: as above.
            unsafe { _mm256_storeu_ps(eight.as_mut_ptr(), C::single(codes.as_ptr().add(i))) };
            for (got, wanted) in eight.iter().zip(&natural[i..]) {
                same(got * gain, *wanted, nan);
            }
        }
    }

    /// Equal bits; a NaN or an infinity is looked at only where `nan` promises it.
    fn same(got: f32, wanted: f32, nan: bool) {
        if wanted.is_finite() {
            assert_eq!(got.to_bits(), wanted.to_bits(), "{got:e}, not {wanted:e}");
        } else if nan {
            assert!(got == wanted || got.is_nan() && wanted.is_nan(), "{got}, not {wanted}");
        }
    }

    #[test]
    fn every_code_of_every_format() {
        every_code::<E4M3>(ElementType::F8E4M3);
        every_code::<E5M2>(ElementType::F8E5M2);
        every_code::<E4M3Fnuz>(ElementType::F8E4M3Fnuz);
        every_code::<E5M2Fnuz>(ElementType::F8E5M2Fnuz);
    }
}
