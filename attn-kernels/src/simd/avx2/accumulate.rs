//! P · V: every output element is one chain of multiply-adds in the order of the tokens.

#![expect(clippy::needless_range_loop, reason = "a register tile is indexed by row and token")]

use std::arch::x86_64::*;

use super::codec::{Codec, Storage};
use crate::cpu::care::Care;
use crate::cpu::kernels::{Ahead, MAX_ROWS, SCORE_STRIDE, Tokens};

/// See [`Accumulate`](crate::cpu::kernels::Accumulate).
pub(super) fn accumulate<S: Storage>(tokens: &Tokens<'_>, p: &[f32], rows: usize, acc: &mut [f32]) {
    tokens.check(S::Plain::SIZE);
    assert!((1..=MAX_ROWS).contains(&rows) && acc.len() >= rows * tokens.head_dim);
    assert!(p.len() >= (rows - 1) * SCORE_STRIDE + tokens.count);
    // SAFETY: the lengths were checked; the table this is in exists only where AVX2 was detected.
    unsafe {
        match tokens.care {
            Care::Plain => by_rows::<S::Plain>(tokens, p, rows, acc),
            Care::Subnormal => by_rows::<S::Subnormal>(tokens, p, rows, acc),
            Care::Nan => by_rows::<S::Nan>(tokens, p, rows, acc),
        }
    }
}

/// # Safety
/// AVX2, FMA and F16C; lengths as `accumulate` checks them.
unsafe fn by_rows<C: Codec>(tokens: &Tokens<'_>, p: &[f32], rows: usize, acc: &mut [f32]) {
    // SAFETY: the caller's.
    unsafe {
        match rows {
            1 => run::<C, 1, 4>(tokens, p, acc),
            2 => run::<C, 2, 2>(tokens, p, acc),
            3 => run::<C, 3, 1>(tokens, p, acc),
            _ => run::<C, 4, 1>(tokens, p, acc),
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
        while i + 16 * P <= d - d % 32 {
            columns::<C, R, P, false>(tokens, p, acc, i);
            if P == 1 {
                columns::<C, R, P, true>(tokens, p, acc, i);
            }
            i += (16 * P).max(32);
        }
        if P == 4 && i + 32 <= d {
            columns::<C, R, 2, false>(tokens, p, acc, i);
            i += 32;
        }
        while i < d {
            last_columns::<C, R>(tokens, p, acc, i);
            i += 8;
        }
    }
}

/// Columns `i..i + 16 P`, or, with `SECOND`, the 16 after these; their sums in registers over all
/// tokens.
///
/// # Safety
/// As `run`; the columns exist, and `i` begins a group of 32.
#[inline(always)]
unsafe fn columns<C: Codec, const R: usize, const P: usize, const SECOND: bool>(
    tokens: &Tokens<'_>,
    p: &[f32],
    acc: &mut [f32],
    i: usize,
) {
    let (d, p) = (tokens.head_dim, p.as_ptr());
    let first = i + 16 * usize::from(SECOND);
    let steps = 16 * P * C::SIZE * tokens.count / Ahead::STEP;
    let step = first * C::SIZE * tokens.count / Ahead::STEP;
    // SAFETY: rows, tokens and columns stay inside what was checked.
    unsafe {
        for step in step..step + steps {
            for line in tokens.ahead.lines(step) {
                _mm_prefetch::<_MM_HINT_T1>(line.cast());
            }
        }
        let acc = acc.as_mut_ptr().add(first);
        let mut sums = [[[_mm256_setzero_ps(); 2]; P]; R];
        for r in 0..R {
            for j in 0..2 * P {
                sums[r][j / 2][j % 2] = _mm256_loadu_ps(acc.add(r * d + 8 * j));
            }
        }
        let mut v = tokens.bytes.as_ptr().add(i * C::SIZE);
        for t in 0..tokens.count {
            for j in 0..P {
                let x = C::half(v.add(j / 2 * 32 * C::SIZE), SECOND || j % 2 == 1);
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
                _mm256_storeu_ps(acc.add(r * d + 8 * j), sums[r][j / 2][j % 2]);
            }
        }
    }
}

/// 8 columns of the rest that is no group of 32.
///
/// # Safety
/// As `run`; the columns exist.
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
