//! The wide side: `f32`, `f16` or `bf16` in memory, from and to `f32` lanes.
//!
//! Narrowing 32-bit lanes to bytes shuffles them. What order is cheapest differs by type, so
//! [`load32`], [`narrow`] and [`in_order`] go together, each one with an order of its own for each
//! type.

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
            _ => {
                // A NaN must not be rounded into infinity: one without low bits is not.
                let quiet = _mm256_or_ps(x, _mm256_castsi256_ps(_mm256_set1_epi32(0x0040_0000)));
                let high = _mm256_castsi256_ps(_mm256_set1_epi32(-0x1_0000));
                let nan = _mm256_and_ps(quiet, high);
                let x = _mm256_blendv_ps(x, nan, _mm256_cmp_ps::<_CMP_UNORD_Q>(x, x));
                let both = narrow_bf16(x, x);
                _mm_storeu_si128(dst.cast(), _mm256_castsi256_si128(both));
            }
        }
    }
}

/// Writes sixteen elements as [`store`] does, where a NaN can only be a quiet one with no other
/// payload, as decoding makes them. `STREAM` writes past the caches; the destination must then be
/// aligned to 32 bytes.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn store_decoded<S: Source, const STREAM: bool>(
    low: __m256,
    high: __m256,
    dst: &mut [S; 16],
) {
    let dst = dst.as_mut_ptr().cast::<u8>();
    debug_assert!(!STREAM || dst.addr().is_multiple_of(32));
    // SAFETY: sixteen elements of two bytes are the 32 of one store, of four those of two.
    unsafe {
        match S::ELEMENT_TYPE {
            ElementType::F32 => {
                store_bytes::<STREAM>(dst, _mm256_castps_si256(low));
                store_bytes::<STREAM>(dst.add(32), _mm256_castps_si256(high));
            }
            ElementType::F16 => {
                let low = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(low);
                let high = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(high);
                store_bytes::<STREAM>(dst, _mm256_set_m128i(high, low));
            }
            _ => store_bytes::<STREAM>(dst, narrow_bf16(low, high)),
        }
    }
}

/// Writes sixteen elements of two bytes, `STREAM` as above.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn store_halves<S: Source, const STREAM: bool>(x: __m256i, dst: &mut [S; 16]) {
    const { assert!(size_of::<S>() >= 2) };
    let dst = dst.as_mut_ptr().cast::<u8>();
    debug_assert!(!STREAM || dst.addr().is_multiple_of(32));
    // SAFETY: sixteen elements of at least two bytes are no less than the 32 that are written.
    unsafe { store_bytes::<STREAM>(dst, x) }
}

/// Writes 32 bytes.
///
/// # Safety
/// They must be valid for writing and, for `STREAM`, aligned to 32.
#[inline]
#[target_feature(enable = "avx2,f16c")]
unsafe fn store_bytes<const STREAM: bool>(dst: *mut u8, bytes: __m256i) {
    // SAFETY: as the caller promises.
    unsafe {
        if STREAM {
            _mm256_stream_si256(dst.cast(), bytes);
        } else {
            _mm256_storeu_si256(dst.cast(), bytes);
        }
    }
}

/// Sixteen lanes rounded to `bf16`, in order. A NaN must not have low bits set.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn narrow_bf16(low: __m256, high: __m256) -> __m256i {
    let packed = _mm256_packus_epi32(bf16_lanes(low), bf16_lanes(high));
    _mm256_permute4x64_epi64::<0b11_01_10_00>(packed)
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn bf16_lanes(x: __m256) -> __m256i {
    let bits = _mm256_castps_si256(x);
    let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
    let half = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
    _mm256_srli_epi32::<16>(_mm256_add_epi32(bits, half))
}

/// The values of 32 elements, for [`narrow`], and for each a byte that is negative where the
/// element is, in the order that `narrow` makes.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn load32<S: Source>(src: &[S; 32]) -> ([__m256; 4], __m256i) {
    let (vectors, _) = src.as_chunks::<8>();
    match S::ELEMENT_TYPE {
        ElementType::F32 => {
            let x = [load(&vectors[0]), load(&vectors[1]), load(&vectors[2]), load(&vectors[3])];
            (x, signs_of(x))
        }
        ElementType::F16 => {
            let x = [load(&vectors[0]), load(&vectors[1]), load(&vectors[2]), load(&vectors[3])];
            let [low, high] = load_halves(src);
            (x, _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi16(low, high)))
        }
        _ => {
            // Each 32-bit lane has two elements: the even one below, the odd one above.
            let [low, high] = load_halves(src);
            let x = [even_bf16(low), odd_bf16(low), even_bf16(high), odd_bf16(high)];
            (x, _mm256_packs_epi16(low, high))
        }
    }
}

/// 32 elements of two bytes.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn load_halves<S: Source>(src: &[S; 32]) -> [__m256i; 2] {
    const { assert!(size_of::<S>() >= 2) };
    let src = src.as_ptr().cast::<__m256i>();
    // SAFETY: the array has at least the 64 bytes that two unaligned loads read.
    unsafe { [_mm256_loadu_si256(src), _mm256_loadu_si256(src.add(1))] }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn even_bf16(pairs: __m256i) -> __m256 {
    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(pairs))
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn odd_bf16(pairs: __m256i) -> __m256 {
    _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32(-0x1_0000)))
}

/// The signs of lanes in the order of an `f32` source.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn signs_of(x: [__m256; 4]) -> __m256i {
    let [a, b, c, d] = x;
    _mm256_packs_epi16(
        _mm256_packs_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b)),
        _mm256_packs_epi32(_mm256_castps_si256(c), _mm256_castps_si256(d)),
    )
}

/// The low byte of each lane.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn narrow<S: Source>(lanes: [__m256i; 4]) -> __m256i {
    let [a, b, c, d] = lanes;
    if let ElementType::Bf16 = S::ELEMENT_TYPE {
        return _mm256_packus_epi16(interleave_low_bytes(a, b), interleave_low_bytes(c, d));
    }
    let low = _mm256_set1_epi32(0xff);
    let bytes = _mm256_packus_epi16(
        _mm256_packus_epi32(_mm256_and_si256(a, low), _mm256_and_si256(b, low)),
        _mm256_packus_epi32(_mm256_and_si256(c, low), _mm256_and_si256(d, low)),
    );
    // The sign bytes of an `f16` come in order, those of an `f32` as they are here.
    if let ElementType::F16 = S::ELEMENT_TYPE { order_dwords(bytes) } else { bytes }
}

/// 16-bit lanes of the low bytes of `even` and `odd`, by turns.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn interleave_low_bytes(even: __m256i, odd: __m256i) -> __m256i {
    let both = _mm256_blend_epi16::<0b1010_1010>(even, _mm256_slli_epi32::<16>(odd));
    _mm256_and_si256(both, _mm256_set1_epi16(0xff))
}

/// Bytes in the order of the elements, from that of [`narrow`].
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn in_order<S: Source>(bytes: __m256i) -> __m256i {
    match S::ELEMENT_TYPE {
        ElementType::F32 => order_dwords(bytes),
        ElementType::F16 => bytes,
        _ => _mm256_permute4x64_epi64::<0b11_01_10_00>(bytes),
    }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn order_dwords(bytes: __m256i) -> __m256i {
    _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))
}
