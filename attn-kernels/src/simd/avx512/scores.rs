//! Q · Kᵀ: sixteen partial sums per dot product, one per lane, added up in one fixed tree. As in
//! AVX2's `scores`, tiles share loads and conversions, nothing else.

#![expect(clippy::needless_range_loop, reason = "a register tile is indexed by row and token")]

use std::arch::x86_64::*;

use super::codec::Codec;
use crate::cpu::care::Care;
use crate::cpu::kernels::{Ahead, MAX_ROWS, SCORE_STRIDE, Tokens};

/// See [`Scores`](crate::cpu::kernels::Scores).
pub(super) fn scores<C: Codec, S: Codec>(
    tokens: &Tokens<'_>,
    q: &[f32],
    rows: usize,
    scores: &mut [f32],
) {
    tokens.check(C::SIZE);
    assert!((1..=MAX_ROWS).contains(&rows) && q.len() >= rows * tokens.head_dim);
    assert!(scores.len() >= (rows - 1) * SCORE_STRIDE + tokens.count.next_multiple_of(16));
    // SAFETY: the lengths were checked; the table this is in exists only where AVX-512 was detected.
    unsafe {
        match (rows, tokens.care == Care::Nan) {
            (1, false) => tiles::<C, 16, 1>(tokens, q, scores),
            (2, false) => tiles::<C, 8, 2>(tokens, q, scores),
            (3, false) => tiles::<C, 4, 3>(tokens, q, scores),
            (_, false) => tiles::<C, 4, 4>(tokens, q, scores),
            (1, true) => tiles::<S, 16, 1>(tokens, q, scores),
            (2, true) => tiles::<S, 8, 2>(tokens, q, scores),
            (3, true) => tiles::<S, 4, 3>(tokens, q, scores),
            (_, true) => tiles::<S, 4, 4>(tokens, q, scores),
        }
    }
}

/// Tiles of `T` tokens by `R` rows; T × R is at most 16 and T a multiple of 4.
///
/// # Safety
/// AVX-512; lengths as `scores` checks them.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
unsafe fn tiles<C: Codec, const T: usize, const R: usize>(
    tokens: &Tokens<'_>,
    q: &[f32],
    scores: &mut [f32],
) {
    let (d, q) = (tokens.head_dim, q.as_ptr());
    let last = tokens.count - 1;
    let steps = T * d * C::SIZE / Ahead::STEP;
    for (tile, t0) in (0..tokens.count).step_by(T).enumerate() {
        for step in tile * steps..(tile + 1) * steps {
            for line in tokens.ahead.lines(step) {
                _mm_prefetch::<_MM_HINT_T1>(line.cast());
            }
        }
        // SAFETY: token indices are at most that of the last, `q` has R rows of d, and the stores
        // end at most 15 elements after the last token of a row, as was checked.
        unsafe {
            // Beyond the last token the last again: its scores are never looked at.
            let k: [*const u8; T] = std::array::from_fn(|t| {
                tokens.bytes.as_ptr().add((t0 + t).min(last) * tokens.stride)
            });
            let mut sums = [[_mm512_setzero_ps(); R]; T];
            let mut i = 0;
            while i + 16 <= d {
                let mut rows = [_mm512_setzero_ps(); R];
                for r in 0..R {
                    rows[r] = _mm512_loadu_ps(q.add(r * d + i));
                }
                for t in 0..T {
                    let x = C::all(k[t].add(i * C::SIZE));
                    for r in 0..R {
                        sums[t][r] = _mm512_fmadd_ps(x, rows[r], sums[t][r]);
                    }
                }
                i += 16;
            }
            if i < d {
                for t in 0..T {
                    let x = C::half(k[t].add(i * C::SIZE));
                    for r in 0..R {
                        let row = _mm512_maskz_loadu_ps(0xff, q.add(r * d + i));
                        sums[t][r] = _mm512_fmadd_ps(x, row, sums[t][r]);
                    }
                }
            }
            // Place j of the result's quarter l is token 4 (l mod T/4) + j of row l / (T/4).
            let mut placed = [[_mm512_setzero_ps(); 4]; 4];
            for l in 0..R * T / 4 {
                for j in 0..4 {
                    placed[j][l] = sums[l % (T / 4) * 4 + j][l / (T / 4)];
                }
            }
            let all = sum16(&placed);
            for r in 0..R {
                let to = scores.as_mut_ptr().add(r * SCORE_STRIDE + t0);
                match T {
                    16 => _mm512_storeu_ps(to, all),
                    8 if r == 0 => _mm256_storeu_ps(to, _mm512_castps512_ps256(all)),
                    8 => _mm256_storeu_ps(to, _mm512_extractf32x8_ps::<1>(all)),
                    _ => _mm_storeu_ps(to, quarter(all, r)),
                }
            }
        }
    }
}

/// # Safety
/// AVX-512.
#[inline(always)]
unsafe fn quarter(x: __m512, which: usize) -> __m128 {
    // SAFETY: the caller's.
    unsafe {
        match which {
            0 => _mm512_castps512_ps128(x),
            1 => _mm512_extractf32x4_ps::<1>(x),
            2 => _mm512_extractf32x4_ps::<2>(x),
            _ => _mm512_extractf32x4_ps::<3>(x),
        }
    }
}

/// The sums of sixteen vectors' lanes: that of `x[j][l]` in place j of quarter l. Each is the sum,
/// over the four places of a quarter, as `(0+2)+(1+3)`, of the quarters' sums, as `(0+2)+(1+3)`.
///
/// # Safety
/// AVX-512.
#[inline(always)]
unsafe fn sum16(x: &[[__m512; 4]; 4]) -> __m512 {
    // SAFETY: the caller's.
    unsafe {
        let ab = add_places(add_quarters(&x[0]), add_quarters(&x[1]));
        let cd = add_places(add_quarters(&x[2]), add_quarters(&x[3]));
        let (ab, cd) = (_mm512_castps_pd(ab), _mm512_castps_pd(cd));
        let low = _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd));
        _mm512_add_ps(low, _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)))
    }
}

/// Quarter l: the sum of the quarters of `x[l]`.
///
/// # Safety
/// AVX-512.
#[inline(always)]
unsafe fn add_quarters(x: &[__m512; 4]) -> __m512 {
    // SAFETY: the caller's.
    unsafe {
        let ab = add_halves(x[0], x[1]);
        let cd = add_halves(x[2], x[3]);
        let even = _mm512_shuffle_f32x4::<0x88>(ab, cd);
        _mm512_add_ps(even, _mm512_shuffle_f32x4::<0xdd>(ab, cd))
    }
}

/// The sum of the halves of `a`, then that of `b`.
///
/// # Safety
/// AVX-512.
#[inline(always)]
unsafe fn add_halves(a: __m512, b: __m512) -> __m512 {
    // SAFETY: the caller's.
    unsafe {
        let low = _mm512_shuffle_f32x4::<0x44>(a, b);
        _mm512_add_ps(low, _mm512_shuffle_f32x4::<0xee>(a, b))
    }
}

/// Of each quarter: `[a0+a2, b0+b2, a1+a3, b1+b3]`.
///
/// # Safety
/// AVX-512.
#[inline(always)]
unsafe fn add_places(a: __m512, b: __m512) -> __m512 {
    // SAFETY: the caller's.
    unsafe { _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)) }
}
