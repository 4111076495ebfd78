//! P · V: every output element is one chain of multiply-adds in the order of the tokens.

#![expect(clippy::needless_range_loop, reason = "a register tile is indexed by row and column")]

use std::arch::x86_64::*;

use super::codec::Codec;
use crate::cpu::care::Care;
use crate::cpu::kernels::{Ahead, MAX_ROWS, SCORE_STRIDE, Tokens};

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
    // SAFETY: the lengths were checked; the table this is in exists only where AVX-512 was detected.
    unsafe {
        match (rows, tokens.care == Care::Nan) {
            (1, false) => run::<C, 1, 8>(tokens, p, acc),
            (2, false) => run::<C, 2, 8>(tokens, p, acc),
            (3, false) => run::<C, 3, 4>(tokens, p, acc),
            (_, false) => run::<C, 4, 4>(tokens, p, acc),
            (1, true) => run::<S, 1, 8>(tokens, p, acc),
            (2, true) => run::<S, 2, 8>(tokens, p, acc),
            (3, true) => run::<S, 3, 4>(tokens, p, acc),
            (_, true) => run::<S, 4, 4>(tokens, p, acc),
        }
    }
}

/// All elements of `R` rows, `V` vectors at a time.
///
/// # Safety
/// AVX-512; lengths as `accumulate` checks them.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
unsafe fn run<C: Codec, const R: usize, const V: usize>(
    tokens: &Tokens<'_>,
    p: &[f32],
    acc: &mut [f32],
) {
    let d = tokens.head_dim;
    let mut i = 0;
    // SAFETY: the columns stay below d, the rest is the caller's.
    unsafe {
        while i + 16 * V <= d {
            columns::<C, R, V>(tokens, p, acc, i);
            i += 16 * V;
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

/// Columns `i..i + 16 V`, their sums in registers over all tokens.
///
/// # Safety
/// As `run`; the columns exist.
#[inline(always)]
unsafe fn columns<C: Codec, const R: usize, const V: usize>(
    tokens: &Tokens<'_>,
    p: &[f32],
    acc: &mut [f32],
    i: usize,
) {
    let (d, p, acc) = (tokens.head_dim, p.as_ptr(), acc.as_mut_ptr());
    // SAFETY: rows, tokens and columns stay inside what was checked.
    unsafe {
        let mut sums = [[_mm512_setzero_ps(); V]; R];
        for r in 0..R {
            for j in 0..V {
                sums[r][j] = _mm512_loadu_ps(acc.add(r * d + i + 16 * j));
            }
        }
        let mut v = tokens.bytes.as_ptr().add(i * C::SIZE);
        let steps = 16 * V * C::SIZE * tokens.count / Ahead::STEP;
        let step = i * C::SIZE * tokens.count / Ahead::STEP;
        for step in step..step + steps {
            for line in tokens.ahead.lines(step) {
                _mm_prefetch::<_MM_HINT_T1>(line.cast());
            }
        }
        for t in 0..tokens.count {
            let mut weights = [_mm512_setzero_ps(); R];
            for r in 0..R {
                weights[r] = _mm512_set1_ps(*p.add(r * SCORE_STRIDE + t));
            }
            for j in 0..V {
                let x = C::all(v.add(16 * j * C::SIZE));
                for r in 0..R {
                    sums[r][j] = _mm512_fmadd_ps(weights[r], x, sums[r][j]);
                }
            }
            v = v.wrapping_add(tokens.stride);
        }
        for r in 0..R {
            for j in 0..V {
                _mm512_storeu_ps(acc.add(r * d + i + 16 * j), sums[r][j]);
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
        let mut sums = [_mm512_setzero_ps(); R];
        for r in 0..R {
            sums[r] = _mm512_maskz_loadu_ps(0xff, acc.add(r * d + i));
        }
        for t in 0..tokens.count {
            let x = C::half(tokens.bytes.as_ptr().add(t * tokens.stride + i * C::SIZE));
            for r in 0..R {
                let weight = _mm512_set1_ps(*p.add(r * SCORE_STRIDE + t));
                sums[r] = _mm512_fmadd_ps(weight, x, sums[r]);
            }
        }
        for r in 0..R {
            _mm512_mask_storeu_ps(acc.add(r * d + i), 0xff, sums[r]);
        }
    }
}
