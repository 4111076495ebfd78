//! A row's scores to weights, and the merging of chunks.

use std::arch::x86_64::*;

use super::exp::{exp, exp1, tanh};
use crate::cpu::kernels::{ScoreMap, Stats};
use crate::cpu::scalar::weights;

/// See [`Softmax`](crate::cpu::kernels::Softmax).
pub(super) fn softmax(row: &mut [f32], visible: (usize, usize), map: &ScoreMap) -> Stats {
    assert!(visible.0 < visible.1 && visible.1.next_multiple_of(8) <= row.len());
    // SAFETY: the length was checked; the table this is in exists only where AVX2 was detected.
    unsafe { softmax_avx2(row, visible, map) }
}

/// The sum is kept in eight parts, by the token's position modulo 8, so that it does not depend on
/// which tokens are visible beside it.
///
/// # Safety
/// AVX2 and FMA; `row` reaches to the multiple of 8 after the last visible token.
#[target_feature(enable = "avx2,fma")]
unsafe fn softmax_avx2(row: &mut [f32], visible: (usize, usize), map: &ScoreMap) -> Stats {
    let (from, to) = (visible.0 & !7, visible.1.next_multiple_of(8));
    // SAFETY: `from..to` is inside the row, as the caller says.
    unsafe {
        let p = row.as_mut_ptr();
        let mut max = _mm256_set1_ps(f32::NEG_INFINITY);
        for i in (from..to).step_by(8) {
            let mut s = mapped(_mm256_loadu_ps(p.add(i)), i, map);
            if i < visible.0 || i + 8 > visible.1 {
                s = masked(s, i, visible);
            }
            _mm256_storeu_ps(p.add(i), s);
            // The second operand is the result where the first is NaN: a NaN is passed over here,
            // and reaches the sum below.
            max = _mm256_max_ps(s, max);
        }
        let max = lanes(max).into_iter().fold(f32::NEG_INFINITY, f32::max);
        // With nothing but −∞ every weight is 0, not NaN.
        let base = _mm256_set1_ps(if max == f32::NEG_INFINITY { 0.0 } else { max });
        let mut sum = _mm256_setzero_ps();
        for i in (from..to).step_by(8) {
            let w = exp(_mm256_sub_ps(_mm256_loadu_ps(p.add(i)), base));
            _mm256_storeu_ps(p.add(i), _mm256_mul_ps(w, _mm256_set1_ps(map.gain)));
            sum = _mm256_add_ps(sum, w);
        }
        let s = lanes(sum);
        Stats { max, sum: ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7])) }
    }
}

/// Dot products of tokens `i..i + 8` to scores.
///
/// # Safety
/// AVX2 and FMA.
#[inline(always)]
unsafe fn mapped(dot: __m256, i: usize, map: &ScoreMap) -> __m256 {
    // SAFETY: the caller's AVX2 and FMA.
    unsafe {
        let dot = _mm256_mul_ps(dot, _mm256_set1_ps(map.unscale));
        let mut s = _mm256_mul_ps(dot, _mm256_set1_ps(map.factor));
        if let Some(cap) = map.soft_cap {
            let cap = _mm256_set1_ps(cap);
            s = _mm256_mul_ps(cap, tanh(_mm256_div_ps(s, cap)));
        }
        if let Some((slope, position)) = map.alibi {
            let distance = _mm256_sub_ps(positions(i), _mm256_set1_ps(position));
            s = _mm256_fmadd_ps(_mm256_set1_ps(slope), distance, s);
        }
        s
    }
}

/// −∞ at the tokens of `i..i + 8` that are not visible.
///
/// # Safety
/// AVX2.
#[inline(always)]
unsafe fn masked(s: __m256, i: usize, visible: (usize, usize)) -> __m256 {
    // SAFETY: the caller's AVX2.
    unsafe {
        let at = positions(i);
        let low = _mm256_cmp_ps::<_CMP_GE_OQ>(at, _mm256_set1_ps(visible.0 as f32));
        let high = _mm256_cmp_ps::<_CMP_LT_OQ>(at, _mm256_set1_ps(visible.1 as f32));
        let hidden = _mm256_set1_ps(f32::NEG_INFINITY);
        _mm256_blendv_ps(hidden, s, _mm256_and_ps(low, high))
    }
}

/// `i..i + 8` as numbers.
///
/// # Safety
/// AVX2.
#[inline(always)]
unsafe fn positions(i: usize) -> __m256 {
    // SAFETY: the caller's AVX2.
    unsafe {
        let lanes = _mm256_setr_ps(0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0);
        _mm256_add_ps(lanes, _mm256_set1_ps(i as f32))
    }
}

/// # Safety
/// AVX.
#[inline(always)]
unsafe fn lanes(x: __m256) -> [f32; 8] {
    let mut out = [0.0; 8];
    // SAFETY: the caller's AVX; the array has eight lanes.
    unsafe { _mm256_storeu_ps(out.as_mut_ptr(), x) };
    out
}

/// See [`Merge`](crate::cpu::kernels::Merge).
pub(super) fn merge(out: &mut [f32], stats: &mut Stats, chunk_out: &[f32], chunk: Stats) {
    assert_eq!(out.len(), chunk_out.len());
    assert!(out.len().is_multiple_of(8));
    // SAFETY: the lengths were checked; the table this is in exists only where AVX2 was detected.
    unsafe { merge_avx2(out, stats, chunk_out, chunk) }
}

/// # Safety
/// AVX2 and FMA; equal lengths, multiples of 8.
#[target_feature(enable = "avx2,fma")]
unsafe fn merge_avx2(out: &mut [f32], stats: &mut Stats, chunk_out: &[f32], chunk: Stats) {
    // SAFETY: `weights` runs in this function, which has AVX2 and FMA.
    let Some((a, b)) = weights(stats, chunk, |x| unsafe { exp1(x) }) else { return };
    for i in (0..out.len()).step_by(8) {
        // SAFETY: both slices have 8 elements at `i`.
        unsafe {
            let o = _mm256_mul_ps(_mm256_loadu_ps(out.as_ptr().add(i)), _mm256_set1_ps(a));
            let c = _mm256_loadu_ps(chunk_out.as_ptr().add(i));
            _mm256_storeu_ps(out.as_mut_ptr().add(i), _mm256_fmadd_ps(c, _mm256_set1_ps(b), o));
        }
    }
}
