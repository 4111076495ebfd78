//! Q · Kᵀ: eight partial sums per dot product, one per lane, added up in one fixed tree.
//!
//! A dot product is the same sequence of operations whatever tile it is in, so its bits do not
//! depend on the rows and tokens beside it. Tiles share loads and conversions, nothing else.

#![expect(clippy::needless_range_loop, reason = "a register tile is indexed by row and token")]

use std::arch::x86_64::*;

use super::codec::{Codec, Storage};
use crate::cpu::care::Care;
use crate::cpu::kernels::{Ahead, MAX_ROWS, SCORE_STRIDE, Tokens};

/// See [`Scores`](crate::cpu::kernels::Scores).
pub(super) fn scores<S: Storage>(tokens: &Tokens<'_>, q: &[f32], rows: usize, scores: &mut [f32]) {
    tokens.check(S::Plain::SIZE);
    assert!((1..=MAX_ROWS).contains(&rows) && q.len() >= rows * tokens.head_dim);
    assert!(scores.len() >= (rows - 1) * SCORE_STRIDE + tokens.count.next_multiple_of(8));
    // SAFETY: the lengths were checked; the table this is in exists only where AVX2 was detected.
    unsafe {
        match tokens.care {
            Care::Plain => by_rows::<S::Plain>(tokens, q, rows, scores),
            Care::Subnormal => by_rows::<S::Subnormal>(tokens, q, rows, scores),
            Care::Nan => by_rows::<S::Nan>(tokens, q, rows, scores),
        }
    }
}

/// # Safety
/// AVX2, FMA and F16C; lengths as `scores` checks them.
unsafe fn by_rows<C: Codec>(tokens: &Tokens<'_>, q: &[f32], rows: usize, scores: &mut [f32]) {
    // SAFETY: the caller's.
    unsafe {
        match rows {
            1 => tiles::<C, 8, 1>(tokens, q, scores),
            2 => tiles::<C, 4, 2>(tokens, q, scores),
            3 => tiles::<C, 2, 3>(tokens, q, scores),
            _ => tiles::<C, 2, 4>(tokens, q, scores),
        }
    }
}

/// Tiles of `T` tokens (2, 4 or 8) by `R` rows, at most 8 sums; each token is converted where it is
/// used, each query vector loaded once.
///
/// # Safety
/// AVX2, FMA and F16C; lengths as `scores` checks them.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn tiles<C: Codec, const T: usize, const R: usize>(
    tokens: &Tokens<'_>,
    q: &[f32],
    scores: &mut [f32],
) {
    let (d, q, last) = (tokens.head_dim, q.as_ptr(), tokens.count - 1);
    let steps = T * d * C::SIZE / Ahead::STEP;
    for (tile, t0) in (0..tokens.count).step_by(T).enumerate() {
        for step in tile * steps..(tile + 1) * steps {
            // Into the second-level cache: the first has too few places for lines in flight.
            for line in tokens.ahead.lines(step) {
                _mm_prefetch::<_MM_HINT_T1>(line.cast());
            }
        }
        // SAFETY: pointers stay inside the tokens, `q` has R rows of d, and the stores end at most
        // 7 elements after the last token of a row, as was checked.
        unsafe {
            // Beyond the last token the last again: its scores are never looked at.
            let k: [*const u8; T] = std::array::from_fn(|t| {
                tokens.bytes.as_ptr().add((t0 + t).min(last) * tokens.stride)
            });
            let mut sums = [[_mm256_setzero_ps(); T]; R];
            let mut i = 0;
            while i + 32 <= d {
                let mut x = [[_mm256_setzero_ps(); 4]; T];
                for t in 0..T {
                    x[t] = C::quad(k[t].add(i * C::SIZE));
                }
                for j in 0..4 {
                    for r in 0..R {
                        let q = _mm256_loadu_ps(q.add(r * d + i + 8 * j));
                        for t in 0..T {
                            sums[r][t] = _mm256_fmadd_ps(x[t][j], q, sums[r][t]);
                        }
                    }
                }
                i += 32;
            }
            while i < d {
                for t in 0..T {
                    let x = C::single(k[t].add(i * C::SIZE));
                    for r in 0..R {
                        let q = _mm256_loadu_ps(q.add(r * d + i));
                        sums[r][t] = _mm256_fmadd_ps(x, q, sums[r][t]);
                    }
                }
                i += 8;
            }
            // Place r T + t.
            let mut all = [_mm256_setzero_ps(); 8];
            for i in 0..R * T {
                all[i] = sums[i / T][i % T];
            }
            let all = sum8(&all);
            let (lower, upper) = (_mm256_castps256_ps128(all), _mm256_extractf128_ps::<1>(all));
            let to = scores.as_mut_ptr().add(t0);
            match T {
                8 => _mm256_storeu_ps(to, all),
                4 => {
                    _mm_storeu_ps(to, lower);
                    _mm_storeu_ps(to.add(SCORE_STRIDE), upper);
                }
                _ => {
                    for r in 0..R {
                        let half = _mm_castps_pd(if r < 2 { lower } else { upper });
                        let to = to.add(r * SCORE_STRIDE).cast();
                        if r % 2 == 0 { _mm_storel_pd(to, half) } else { _mm_storeh_pd(to, half) }
                    }
                }
            }
        }
    }
}

/// The sums of eight vectors' lanes, each as `((0+2)+(1+3)) + ((4+6)+(5+7))`.
///
/// # Safety
/// AVX.
#[inline(always)]
unsafe fn sum8(x: &[__m256; 8]) -> __m256 {
    // SAFETY: the caller's AVX.
    unsafe {
        let (lower, upper) = (sum4(x[0], x[1], x[2], x[3]), sum4(x[4], x[5], x[6], x[7]));
        let kept = _mm256_blend_ps::<0xf0>(lower, upper);
        _mm256_add_ps(kept, _mm256_permute2f128_ps::<0x21>(lower, upper))
    }
}

/// Of each half: the sums of four vectors' lanes.
///
/// # Safety
/// AVX.
#[inline(always)]
unsafe fn sum4(a: __m256, b: __m256, c: __m256, d: __m256) -> __m256 {
    // SAFETY: the caller's AVX.
    unsafe {
        let (ab, cd) = (_mm256_castps_pd(fold(a, b)), _mm256_castps_pd(fold(c, d)));
        let even = _mm256_castpd_ps(_mm256_unpacklo_pd(ab, cd));
        _mm256_add_ps(even, _mm256_castpd_ps(_mm256_unpackhi_pd(ab, cd)))
    }
}

/// Of each half: `[x0+x2, y0+y2, x1+x3, y1+y3]`.
///
/// # Safety
/// AVX.
#[inline(always)]
unsafe fn fold(x: __m256, y: __m256) -> __m256 {
    // SAFETY: the caller's AVX.
    unsafe { _mm256_add_ps(_mm256_unpacklo_ps(x, y), _mm256_unpackhi_ps(x, y)) }
}
