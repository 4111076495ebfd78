//! P · V: every output element is one chain of multiply-adds in the order of the tokens.

#![expect(clippy::needless_range_loop, reason = "a register tile is indexed by row and token")]

use std::arch::x86_64::*;

use super::codec::Codec;
use crate::cpu::kernels::{MAX_ROWS, SCORE_STRIDE, Tokens};

/// See [`Accumulate`](crate::cpu::kernels::Accumulate).
pub(super) fn accumulate<C: Codec, S: Codec>(
    tokens: &Tokens<'_>,
    p: &[f32],
    rows: usize,
    acc: &mut [f32],
) {
    tokens.check(C::SIZE);
    assert!((1..=MAX_ROWS).contains(&rows) && acc.len() >= rows * tokens.head_dim);
    assert!(p.len() >= (rows - 1) * SCORE_STRIDE + tokens.count);
    // SAFETY: the lengths were checked; the table this is in exists only where AVX2 was detected.
    unsafe {
        match (rows, tokens.suspect) {
            (1, false) => run::<C, 1, 4>(tokens, p, acc),
            (2, false) => run::<C, 2, 2>(tokens, p, acc),
            (3, false) => run::<C, 3, 1>(tokens, p, acc),
            (_, false) => run::<C, 4, 1>(tokens, p, acc),
            (1, true) => run::<S, 1, 4>(tokens, p, acc),
            (2, true) => run::<S, 2, 2>(tokens, p, acc),
            (3, true) => run::<S, 3, 1>(tokens, p, acc),
            (_, true) => run::<S, 4, 1>(tokens, p, acc),
        }
    }
}

/// All elements of `R` rows, `P` pairs of vectors at a time.
///
/// # Safety
/// AVX2, FMA and F16C; lengths as `accumulate` checks them.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn run<C: Codec, const R: usize, const P: usize>(
    tokens: &Tokens<'_>,
    p: &[f32],
    acc: &mut [f32],
) {
    let d = tokens.head_dim;
    let mut i = 0;
    // SAFETY: the columns stay below d, the rest is the caller's.
    unsafe {
        while i + 16 * P <= d {
            columns::<C, R, P>(tokens, p, acc, i);
            i += 16 * P;
        }
        while i + 16 <= d {
            columns::<C, R, 1>(tokens, p, acc, i);
            i += 16;
        }
        if i < d {
            last_columns::<C, R>(tokens, p, acc, i);
        }
    }
}

/// Columns `i..i + 16 P`, their sums in registers over all tokens.
///
/// # Safety
/// As `run`; the columns exist.
#[inline(always)]
unsafe fn columns<C: Codec, const R: usize, const P: usize>(
    tokens: &Tokens<'_>,
    p: &[f32],
    acc: &mut [f32],
    i: usize,
) {
    let (d, p, acc) = (tokens.head_dim, p.as_ptr(), acc.as_mut_ptr());
    // SAFETY: rows, tokens and columns stay inside what was checked.
    unsafe {
        let mut sums = [[[_mm256_setzero_ps(); 2]; P]; R];
        for r in 0..R {
            for j in 0..2 * P {
                sums[r][j / 2][j % 2] = _mm256_loadu_ps(acc.add(r * d + i + 8 * j));
            }
        }
        let mut v = tokens.bytes.as_ptr().add(i * C::SIZE);
        // Each line of what is read next is asked for once, by the columns it begins with, and into
        // the second-level cache (see `scores::prefetch`).
        let mut ahead = tokens.ahead.wrapping_add(i * C::SIZE);
        let lines = (16 * P * C::SIZE).div_ceil(64) * usize::from((i * C::SIZE).is_multiple_of(64));
        for t in 0..tokens.count {
            for line in 0..lines {
                _mm_prefetch::<_MM_HINT_T1>(ahead.wrapping_add(64 * line).cast());
            }
            ahead = ahead.wrapping_add(tokens.stride);
            for j in 0..P {
                let x = C::pair(v.add(16 * j * C::SIZE));
                for r in 0..R {
                    let weight = _mm256_broadcast_ss(&*p.add(r * SCORE_STRIDE + t));
                    sums[r][j][0] = _mm256_fmadd_ps(weight, x[0], sums[r][j][0]);
                    sums[r][j][1] = _mm256_fmadd_ps(weight, x[1], sums[r][j][1]);
                }
            }
            v = v.wrapping_add(tokens.stride);
        }
        for r in 0..R {
            for j in 0..2 * P {
                _mm256_storeu_ps(acc.add(r * d + i + 8 * j), sums[r][j / 2][j % 2]);
            }
        }
    }
}

/// The last 8 columns of a head dimension that is no multiple of 16.
///
/// # Safety
/// As `columns`.
#[inline(always)]
unsafe fn last_columns<C: Codec, const R: usize>(
    tokens: &Tokens<'_>,
    p: &[f32],
    acc: &mut [f32],
    i: usize,
) {
    let (d, p, acc) = (tokens.head_dim, p.as_ptr(), acc.as_mut_ptr());
    // SAFETY: as in `columns`.
    unsafe {
        let mut sums: [__m256; R] = std::array::from_fn(|r| _mm256_loadu_ps(acc.add(r * d + i)));
        for t in 0..tokens.count {
            let x = C::single(tokens.bytes.as_ptr().add(t * tokens.stride + i * C::SIZE));
            for r in 0..R {
                let weight = _mm256_broadcast_ss(&*p.add(r * SCORE_STRIDE + t));
                sums[r] = _mm256_fmadd_ps(weight, x, sums[r]);
            }
        }
        for r in 0..R {
            _mm256_storeu_ps(acc.add(r * d + i), sums[r]);
        }
    }
}
