//! The wide side: eight `f32`, `f16` or `bf16` in memory from and to eight `f32` lanes.

use core::arch::x86_64::*;

use crate::element_type::ElementType;
use crate::source::Source;

/// Reads eight elements, widened exactly.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub fn load<S: Source>(src: &[S; 8]) -> __m256 {
    let src = src.as_ptr();
    // SAFETY: the loads are unaligned and read eight elements of the size that the type says.
    unsafe {
        match S::ELEMENT_TYPE {
            ElementType::F32 => _mm256_loadu_ps(src.cast()),
            ElementType::F16 => _mm256_cvtph_ps(_mm_loadu_si128(src.cast())),
            _ => {
                let bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(src.cast()));
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(bits))
            }
        }
    }
}

/// Writes eight elements, rounded to nearest, ties to even.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub fn store<S: Source>(x: __m256, dst: &mut [S; 8]) {
    let dst = dst.as_mut_ptr();
    // SAFETY: the stores are unaligned and write eight elements of the size that the type says.
    unsafe {
        match S::ELEMENT_TYPE {
            ElementType::F32 => _mm256_storeu_ps(dst.cast(), x),
            ElementType::F16 => {
                let half = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x);
                _mm_storeu_si128(dst.cast(), half);
            }
            _ => _mm_storeu_si128(dst.cast(), bf16_lanes(x)),
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn bf16_lanes(x: __m256) -> __m128i {
    let bits = _mm256_castps_si256(x);
    let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
    let half = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
    let rounded = _mm256_add_epi32(bits, half);
    // A NaN must not be rounded into infinity: it is cut off, and made quiet.
    let nan = _mm256_or_si256(bits, _mm256_set1_epi32(0x0040_0000));
    let unordered = _mm256_cmp_ps::<_CMP_UNORD_Q>(x, x);
    let bits = _mm256_blendv_ps(_mm256_castsi256_ps(rounded), _mm256_castsi256_ps(nan), unordered);
    let bits = _mm256_srli_epi32::<16>(_mm256_castps_si256(bits));
    let packed = _mm256_packus_epi32(bits, bits);
    _mm256_castsi256_si128(_mm256_permute4x64_epi64::<0b1000>(packed))
}
