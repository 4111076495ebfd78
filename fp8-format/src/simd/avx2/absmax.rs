//! The largest magnitude of a slice, by integers: the bits of IEEE numbers order as magnitudes do,
//! with NaNs above infinity.

use core::arch::x86_64::*;

use super::streams::{part_len, prefetch, split};
use crate::element_type::ElementType;
use crate::scalar;
use crate::source::Source;

/// The largest magnitude, NaN if any element is.
#[target_feature(enable = "avx2,f16c")]
pub(in crate::simd) fn absmax<S: Source>(src: &[S]) -> f32 {
    // Running maxima, four to hide the latency of each.
    let mut max = [_mm256_setzero_si256(); 4];
    let (blocks, rest) = src.as_chunks::<64>();
    let part = part_len(blocks);
    let (parts, blocks) = split(blocks, part);
    for i in 0..part {
        for blocks in &parts {
            prefetch(&blocks[i]);
            max = with_block(max, &blocks[i]);
        }
    }
    for block in blocks {
        max = with_block(max, block);
    }
    let lanes = 32 / size_of::<S>();
    let mut vectors = rest.chunks_exact(lanes);
    for vector in &mut vectors {
        max[0] = larger::<S>(max[0], magnitudes(vector));
    }
    let [a, b, c, d] = max;
    let mut max = larger::<S>(larger::<S>(a, b), larger::<S>(c, d));
    // Fold the register onto itself until each lane has seen all of them.
    max = larger::<S>(max, _mm256_permute4x64_epi64::<0b01_00_11_10>(max));
    max = larger::<S>(max, _mm256_shuffle_epi32::<0b01_00_11_10>(max));
    max = larger::<S>(max, _mm256_shuffle_epi32::<0b10_11_00_01>(max));
    if size_of::<S>() == 2 {
        max = larger::<S>(
            max,
            _mm256_or_si256(_mm256_slli_epi32::<16>(max), _mm256_srli_epi32::<16>(max)),
        );
    }
    scalar::absmax(&[first::<S>(max), scalar::absmax(vectors.remainder())])
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn with_block<S: Source>(mut max: [__m256i; 4], block: &[S; 64]) -> [__m256i; 4] {
    for (i, vector) in block.chunks_exact(32 / size_of::<S>()).enumerate() {
        max[i % 4] = larger::<S>(max[i % 4], magnitudes(vector));
    }
    max
}

/// The magnitudes of a vector's worth of elements.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn magnitudes<S: Source>(src: &[S]) -> __m256i {
    assert!(size_of_val(src) >= 32);
    // SAFETY: the 32 bytes are within the slice.
    let bits = unsafe { _mm256_loadu_si256(src.as_ptr().cast()) };
    let mask = match S::ELEMENT_TYPE {
        ElementType::F32 => _mm256_set1_epi32(i32::MAX),
        _ => _mm256_set1_epi16(i16::MAX),
    };
    _mm256_and_si256(bits, mask)
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn larger<S: Source>(a: __m256i, b: __m256i) -> __m256i {
    match S::ELEMENT_TYPE {
        ElementType::F32 => _mm256_max_epi32(a, b),
        _ => _mm256_max_epi16(a, b),
    }
}

/// The value of the first lane.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn first<S: Source>(lanes: __m256i) -> f32 {
    let lanes = _mm256_castsi256_si128(lanes);
    let value = match S::ELEMENT_TYPE {
        ElementType::F32 => _mm_castsi128_ps(lanes),
        ElementType::F16 => _mm_cvtph_ps(lanes),
        _ => _mm_castsi128_ps(_mm_slli_epi32::<16>(lanes)),
    };
    _mm_cvtss_f32(value)
}
