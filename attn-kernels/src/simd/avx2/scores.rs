//! Q · Kᵀ: eight partial sums per dot product, one per lane, added up in one fixed tree.
//!
//! A dot product is the same sequence of operations whatever tile it is in, so its bits do not
//! depend on the rows and tokens beside it. Tiles share loads and conversions, nothing else.

#![expect(clippy::needless_range_loop, reason = "a register tile is indexed by row and token")]

use std::arch::x86_64::*;

use super::codec::Codec;
use crate::cpu::kernels::{MAX_ROWS, SCORE_STRIDE, Tokens};

/// See [`Scores`](crate::cpu::kernels::Scores).
pub(super) fn scores<C: Codec, S: Codec>(
    tokens: &Tokens<'_>,
    q: &[f32],
    rows: usize,
    scores: &mut [f32],
) {
    tokens.check(C::SIZE);
    assert!((1..=MAX_ROWS).contains(&rows) && q.len() >= rows * tokens.head_dim);
    assert!(scores.len() >= (rows - 1) * SCORE_STRIDE + tokens.count.next_multiple_of(8));
    // SAFETY: the lengths were checked; the table this is in exists only where AVX2 was detected.
    unsafe {
        match (rows, tokens.suspect) {
            (1, false) => by_token::<C, 8, 1>(tokens, q, scores),
            (2, false) => by_token::<C, 4, 2>(tokens, q, scores),
            (3, false) => by_token::<C, 4, 3>(tokens, q, scores),
            (_, false) => two_by_four::<C>(tokens, q, scores),
            (1, true) => by_token::<S, 8, 1>(tokens, q, scores),
            (2, true) => by_token::<S, 4, 2>(tokens, q, scores),
            (3, true) => by_token::<S, 4, 3>(tokens, q, scores),
            (_, true) => two_by_four::<S>(tokens, q, scores),
        }
    }
}

/// Tiles of `T` tokens (4 or 8) by `R` rows; each token is converted where it is used.
///
/// # Safety
/// AVX2, FMA and F16C; lengths as `scores` checks them.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn by_token<C: Codec, const T: usize, const R: usize>(
    tokens: &Tokens<'_>,
    q: &[f32],
    scores: &mut [f32],
) {
    let (d, q) = (tokens.head_dim, q.as_ptr());
    for t0 in (0..tokens.count).step_by(T) {
        // SAFETY: `token_pointers` stays inside the tokens, `q` has R rows of d, and the stores
        // end at most 7 elements after the last token of a row, as was checked.
        unsafe {
            let k = token_pointers::<T>(tokens, t0);
            let mut acc = [[_mm256_setzero_ps(); R]; T];
            let step = |acc: &mut [[__m256; R]; T], i: usize| {
                for t in 0..T {
                    let [x0, x1] = C::pair(k[t].add(i * C::SIZE));
                    for r in 0..R {
                        let a = _mm256_fmadd_ps(x0, _mm256_loadu_ps(q.add(r * d + i)), acc[t][r]);
                        acc[t][r] = _mm256_fmadd_ps(x1, _mm256_loadu_ps(q.add(r * d + i + 8)), a);
                    }
                }
            };
            let mut i = 0;
            while i + 64 <= d {
                prefetch::<C, T>(tokens, t0, i);
                step(&mut acc, i);
                step(&mut acc, i + 16);
                step(&mut acc, i + 32);
                step(&mut acc, i + 48);
                i += 64;
            }
            if i < d {
                prefetch::<C, T>(tokens, t0, i);
            }
            while i + 16 <= d {
                step(&mut acc, i);
                i += 16;
            }
            if i < d {
                for t in 0..T {
                    let x = C::single(k[t].add(i * C::SIZE));
                    for r in 0..R {
                        acc[t][r] =
                            _mm256_fmadd_ps(x, _mm256_loadu_ps(q.add(r * d + i)), acc[t][r]);
                    }
                }
            }
            for r in 0..R {
                for t in (0..T).step_by(4) {
                    let sums = sum4(acc[t][r], acc[t + 1][r], acc[t + 2][r], acc[t + 3][r]);
                    let at = r * SCORE_STRIDE + t0 + t;
                    _mm_storeu_ps(scores.as_mut_ptr().add(at), sums);
                }
            }
        }
    }
}

/// Tiles of two tokens by four rows: each query vector is loaded once for both tokens.
///
/// # Safety
/// AVX2, FMA and F16C; lengths as `scores` checks them.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn two_by_four<C: Codec>(tokens: &Tokens<'_>, q: &[f32], scores: &mut [f32]) {
    let (d, q) = (tokens.head_dim, q.as_ptr());
    for t0 in (0..tokens.count).step_by(2) {
        // SAFETY: as in `by_token`; the stores end one element after the last token.
        unsafe {
            let k = token_pointers::<2>(tokens, t0);
            let mut acc = [[_mm256_setzero_ps(); 4]; 2];
            let step = |acc: &mut [[__m256; 4]; 2], i: usize| {
                let x = [C::pair(k[0].add(i * C::SIZE)), C::pair(k[1].add(i * C::SIZE))];
                for half in 0..2 {
                    for r in 0..4 {
                        let q = _mm256_loadu_ps(q.add(r * d + i + 8 * half));
                        acc[0][r] = _mm256_fmadd_ps(x[0][half], q, acc[0][r]);
                        acc[1][r] = _mm256_fmadd_ps(x[1][half], q, acc[1][r]);
                    }
                }
            };
            let mut i = 0;
            while i + 64 <= d {
                prefetch::<C, 2>(tokens, t0, i);
                step(&mut acc, i);
                step(&mut acc, i + 16);
                step(&mut acc, i + 32);
                step(&mut acc, i + 48);
                i += 64;
            }
            if i < d {
                prefetch::<C, 2>(tokens, t0, i);
            }
            while i + 16 <= d {
                step(&mut acc, i);
                i += 16;
            }
            if i < d {
                let x = [C::single(k[0].add(i * C::SIZE)), C::single(k[1].add(i * C::SIZE))];
                for r in 0..4 {
                    let q = _mm256_loadu_ps(q.add(r * d + i));
                    acc[0][r] = _mm256_fmadd_ps(x[0], q, acc[0][r]);
                    acc[1][r] = _mm256_fmadd_ps(x[1], q, acc[1][r]);
                }
            }
            for r in [0, 2] {
                let sums = sum4(acc[0][r], acc[1][r], acc[0][r + 1], acc[1][r + 1]);
                let to = scores.as_mut_ptr().add(r * SCORE_STRIDE + t0);
                let pairs = _mm_castps_pd(sums);
                to.cast::<f64>().write_unaligned(_mm_cvtsd_f64(pairs));
                let upper = _mm_cvtsd_f64(_mm_unpackhi_pd(pairs, pairs));
                to.add(SCORE_STRIDE).cast::<f64>().write_unaligned(upper);
            }
        }
    }
}

/// Tokens `t0..t0 + T`; beyond the last, the last again (its scores are never looked at).
///
/// # Safety
/// `tokens` was checked.
#[inline(always)]
unsafe fn token_pointers<const T: usize>(tokens: &Tokens<'_>, t0: usize) -> [*const u8; T] {
    let last = tokens.count - 1;
    // SAFETY: the index is at most that of the last token.
    std::array::from_fn(|t| unsafe {
        tokens.bytes.as_ptr().add((t0 + t).min(last) * tokens.stride)
    })
}

/// Asks for elements `i..i + 64` of tokens `t0..t0 + T` of what is read next.
///
/// Into the second-level cache: the first has too few places for lines in flight. (Decoding over f16
/// with one row per KV head read 9.9 GB/s that way and reads 20.6 this way, on a Zen 4.)
#[inline(always)]
fn prefetch<C: Codec, const T: usize>(tokens: &Tokens<'_>, t0: usize, i: usize) {
    for t in t0..t0 + T {
        let row = tokens.ahead.wrapping_add(t * tokens.stride + i * C::SIZE);
        for line in 0..C::SIZE {
            // SAFETY: a prefetch reads nothing and cannot fault.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(row.wrapping_add(64 * line).cast()) };
        }
    }
}

/// The sums of four vectors' lanes, each as `((0+2)+(1+3)) + ((4+6)+(5+7))`.
///
/// Blends where shuffles would do, since those wait for one port.
///
/// # Safety
/// AVX.
#[inline(always)]
unsafe fn sum4(a: __m256, b: __m256, c: __m256, d: __m256) -> __m128 {
    // SAFETY: the caller's AVX.
    unsafe {
        // [x0+x2, x1+x3, y0+y2, y1+y3] of each half.
        let fold =
            |x, y| _mm256_add_ps(_mm256_shuffle_ps::<0x4e>(x, y), _mm256_blend_ps::<0xcc>(x, y));
        let (ac, bd) = (fold(a, c), fold(b, d));
        // [a, b, c, d]: even places of one, odd places of the other, and what is left, swapped.
        let kept = _mm256_blend_ps::<0xaa>(ac, bd);
        let swapped = _mm256_permute_ps::<0xb1>(_mm256_blend_ps::<0xaa>(bd, ac));
        let s = _mm256_add_ps(kept, swapped);
        _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps::<1>(s))
    }
}
