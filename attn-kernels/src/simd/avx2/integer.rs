//! Integer arithmetic on INT8 tokens: `vpmaddwd` multiplies 16 pairs and adds them two by two.

#![expect(clippy::needless_range_loop, reason = "a register tile is indexed by row and token")]

use std::arch::x86_64::*;
use std::ops::Range;

use crate::cpu::integer::{IntegerKernels, MAX_ELEMENTS, Sums, sum8, units};
use crate::cpu::kernels::{Ahead, MAX_ROWS, SCORE_STRIDE, Tokens};
use crate::plan::CHUNK;

/// The table. Only reached through an [`Avx2`](super::Avx2): what its functions rely on.
pub(super) const KERNELS: IntegerKernels = IntegerKernels { scores, accumulate, weights };

fn scores(tokens: &Tokens<'_>, q: &[i16], rows: usize, scores: &mut [f32]) {
    tokens.check(1);
    assert!((1..=MAX_ROWS).contains(&rows) && q.len() >= rows * tokens.head_dim);
    assert!(scores.len() >= (rows - 1) * SCORE_STRIDE + tokens.count.next_multiple_of(8));
    for from in (0..tokens.head_dim).step_by(MAX_ELEMENTS) {
        let part = (from, tokens.head_dim.min(from + MAX_ELEMENTS));
        // SAFETY: the lengths were checked; AVX2 was detected.
        unsafe {
            match rows {
                1 => by_token::<8, 1>(tokens, q, part, scores),
                2 => by_token::<4, 2>(tokens, q, part, scores),
                3 => by_token::<2, 3>(tokens, q, part, scores),
                _ => by_token::<2, 4>(tokens, q, part, scores),
            }
        }
    }
}

/// Tiles of `T` tokens (2, 4 or 8) by `R` rows: the dot products of elements `from..end`, added to
/// what stands there unless they are the first.
///
/// # Safety
/// AVX2; lengths as `scores` checks them.
#[target_feature(enable = "avx2")]
unsafe fn by_token<const T: usize, const R: usize>(
    tokens: &Tokens<'_>,
    q: &[i16],
    (from, end): (usize, usize),
    scores: &mut [f32],
) {
    let (d, q, last) = (tokens.head_dim, q.as_ptr(), tokens.count - 1);
    let steps = T * (end - from) / Ahead::STEP;
    for (tile, t0) in (0..tokens.count).step_by(T).enumerate() {
        prefetch(tokens, tile * steps..(tile + 1) * steps);
        // SAFETY: pointers stay inside the tokens (beyond the last, the last again), `q` has R
        // rows of d, and the stores end at most 7 elements after a row's last token.
        unsafe {
            let k: [*const u8; T] = std::array::from_fn(|t| {
                tokens.bytes.as_ptr().add((t0 + t).min(last) * tokens.stride)
            });
            let mut acc = [[_mm256_setzero_si256(); R]; T];
            let step = |acc: &mut [[__m256i; R]; T], i: usize| {
                let x: [__m256i; T] = std::array::from_fn(|t| {
                    _mm256_cvtepi8_epi16(_mm_loadu_si128(k[t].add(i).cast()))
                });
                for r in 0..R {
                    let q = _mm256_loadu_si256(q.add(r * d + i).cast());
                    for t in 0..T {
                        acc[t][r] = _mm256_add_epi32(acc[t][r], _mm256_madd_epi16(x[t], q));
                    }
                }
            };
            let mut i = from;
            while i + 64 <= end {
                step(&mut acc, i);
                step(&mut acc, i + 16);
                step(&mut acc, i + 32);
                step(&mut acc, i + 48);
                i += 64;
            }
            while i + 16 <= end {
                step(&mut acc, i);
                i += 16;
            }
            if i < end {
                for t in 0..T {
                    let x = _mm_cvtepi8_epi16(_mm_loadl_epi64(k[t].add(i).cast()));
                    for r in 0..R {
                        let q = _mm_loadu_si128(q.add(r * d + i).cast());
                        let products = _mm256_zextsi128_si256(_mm_madd_epi16(x, q));
                        acc[t][r] = _mm256_add_epi32(acc[t][r], products);
                    }
                }
            }
            let to = scores.as_mut_ptr().add(t0);
            if T >= 4 {
                for r in 0..R {
                    for t in (0..T).step_by(4) {
                        let sums = sum4([acc[t][r], acc[t + 1][r], acc[t + 2][r], acc[t + 3][r]]);
                        let to = to.add(r * SCORE_STRIDE + t);
                        let before = if from > 0 { _mm_loadu_ps(to) } else { _mm_setzero_ps() };
                        _mm_storeu_ps(to, _mm_add_ps(before, sums));
                    }
                }
            } else {
                for r in (0..R).step_by(2) {
                    let next = (r + 1).min(R - 1);
                    let pairs = sum4([acc[0][r], acc[1][r], acc[0][next], acc[1][next]]);
                    let (lower, upper) = (to.add(r * SCORE_STRIDE), to.add(next * SCORE_STRIDE));
                    let mut before = _mm_setzero_pd();
                    if from > 0 {
                        before = _mm_loadh_pd(_mm_load_sd(lower.cast()), upper.cast());
                    }
                    let pairs = _mm_castps_pd(_mm_add_ps(_mm_castpd_ps(before), pairs));
                    _mm_storel_pd(lower.cast(), pairs);
                    _mm_storeh_pd(upper.cast(), pairs);
                }
            }
        }
    }
}

/// Asks for what is read next.
#[inline(always)]
fn prefetch(tokens: &Tokens<'_>, steps: Range<usize>) {
    for line in steps.flat_map(|step| tokens.ahead.lines(step)) {
        // SAFETY: a prefetch reads nothing and cannot fault.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.cast()) };
    }
}

/// The sums of four vectors' lanes.
///
/// # Safety
/// AVX2.
#[inline(always)]
unsafe fn sum4([a, b, c, d]: [__m256i; 4]) -> __m128 {
    // SAFETY: the caller's AVX2.
    unsafe {
        let (ab, cd) = (_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
        let sums = _mm256_hadd_epi32(ab, cd);
        let (lower, upper) = (_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
        _mm_cvtepi32_ps(_mm_add_epi32(lower, upper))
    }
}

fn accumulate(tokens: &Tokens<'_>, p: &[i16], rows: usize, acc: &mut [i32]) {
    tokens.check(1);
    assert!((1..=MAX_ROWS).contains(&rows) && acc.len() >= rows * tokens.head_dim);
    // Weights are read two by two.
    assert!(p.len() >= (rows - 1) * SCORE_STRIDE + tokens.count.next_multiple_of(2));
    // SAFETY: the lengths were checked; AVX2 was detected.
    unsafe {
        match rows {
            1 => run::<1, 4>(tokens, p, acc),
            2 => run::<2, 2>(tokens, p, acc),
            3 => run::<3, 1>(tokens, p, acc),
            _ => run::<4, 1>(tokens, p, acc),
        }
    }
}

/// All elements of `R` rows, 16 `P` at a time.
///
/// # Safety
/// AVX2; lengths as `accumulate` checks them.
#[target_feature(enable = "avx2")]
unsafe fn run<const R: usize, const P: usize>(tokens: &Tokens<'_>, p: &[i16], acc: &mut [i32]) {
    let d = tokens.head_dim;
    let mut i = 0;
    // SAFETY: the columns stay below d, the rest is the caller's.
    unsafe {
        while i + 16 * P <= d {
            columns::<R, P, 2>(tokens, p, acc, i);
            i += 16 * P;
        }
        while i + 16 <= d {
            columns::<R, 1, 2>(tokens, p, acc, i);
            i += 16;
        }
        if i < d {
            columns::<R, 1, 1>(tokens, p, acc, i);
        }
    }
}

/// `P` times `8 H` columns from `i` on, their sums in registers over all tokens.
///
/// # Safety
/// As `run`; the columns exist.
#[inline(always)]
unsafe fn columns<const R: usize, const P: usize, const H: usize>(
    tokens: &Tokens<'_>,
    p: &[i16],
    acc: &mut [i32],
    i: usize,
) {
    let (d, p, acc) = (tokens.head_dim, p.as_ptr(), acc.as_mut_ptr());
    // SAFETY: rows, tokens and columns stay inside what was checked.
    unsafe {
        let mut sums = [[[_mm256_setzero_si256(); H]; P]; R];
        for r in 0..R {
            for j in 0..P {
                for h in 0..H {
                    let at = acc.add(r * d + i + 8 * (H * j + h));
                    sums[r][j][h] = _mm256_loadu_si256(at.cast());
                }
            }
        }
        let load = |t: usize, j: usize| {
            let at = tokens.bytes.as_ptr().add(t * tokens.stride + i + 8 * H * j);
            if H == 2 { _mm_loadu_si128(at.cast()) } else { _mm_loadl_epi64(at.cast()) }
        };
        let step = i * tokens.count / Ahead::STEP;
        prefetch(tokens, step..step + 8 * H * P * tokens.count / Ahead::STEP);
        let mut t = 0;
        while t < tokens.count {
            let two = t + 1 < tokens.count;
            for j in 0..P {
                let (a, b) = (load(t, j), if two { load(t + 1, j) } else { _mm_setzero_si128() });
                // Element by element, two tokens side by side.
                let pairs = [_mm_unpacklo_epi8(a, b), _mm_unpackhi_epi8(a, b)];
                for h in 0..H {
                    let x = _mm256_cvtepi8_epi16(pairs[h]);
                    for r in 0..R {
                        let two_weights = p.add(r * SCORE_STRIDE + t).cast::<i32>();
                        let weights = _mm256_set1_epi32(two_weights.read_unaligned());
                        let products = _mm256_madd_epi16(x, weights);
                        sums[r][j][h] = _mm256_add_epi32(sums[r][j][h], products);
                    }
                }
            }
            t += 2;
        }
        for r in 0..R {
            for j in 0..P {
                for h in 0..H {
                    let at = acc.add(r * d + i + 8 * (H * j + h));
                    _mm256_storeu_si256(at.cast(), sums[r][j][h]);
                }
            }
        }
    }
}

fn weights(
    row: &[f32],
    visible: (usize, usize),
    columns: Option<&[f32; CHUNK]>,
    p: &mut [i16],
) -> Sums {
    assert!(visible.0 < visible.1 && visible.1 <= CHUNK);
    assert!(row.len() >= CHUNK && p.len() >= CHUNK);
    let max = columns.map(|_| row[visible.0..visible.1].iter().copied().fold(0.0, f32::max));
    let units = units(max);
    p.fill(0);
    // SAFETY: the lengths were checked; AVX2 was detected.
    unsafe { weights_avx2(row, visible, columns, p, units) }
}

/// # Safety
/// AVX2; `row`, `columns` and `p` have a chunk's elements.
#[target_feature(enable = "avx2")]
unsafe fn weights_avx2(
    row: &[f32],
    visible: (usize, usize),
    columns: Option<&[f32; CHUNK]>,
    p: &mut [i16],
    (unit, inverse): (f32, f32),
) -> Sums {
    let mut sum = _mm256_setzero_ps();
    for i in (visible.0 & !7..visible.1).step_by(8) {
        // SAFETY: a chunk is a multiple of 8, so `i..i + 8` is inside of all three.
        unsafe {
            let x = _mm256_mul_ps(_mm256_loadu_ps(row.as_ptr().add(i)), _mm256_set1_ps(inverse));
            let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            let at = _mm256_add_epi32(lanes, _mm256_set1_epi32(i as i32));
            let (first, end) = (visible.0 as i32, visible.1 as i32);
            let seen = _mm256_castsi256_ps(_mm256_and_si256(
                _mm256_cmpgt_epi32(at, _mm256_set1_epi32(first - 1)),
                _mm256_cmpgt_epi32(_mm256_set1_epi32(end), at),
            ));
            // A NaN keeps its place in the sum; its code does not matter then.
            let number = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(
                _mm256_and_ps(x, seen),
            );
            let part = match columns {
                Some(c) => {
                    let c = _mm256_loadu_ps(c.as_ptr().add(i));
                    _mm256_and_ps(_mm256_div_ps(number, c), seen)
                }
                None => number,
            };
            sum = _mm256_add_ps(sum, part);
            let codes = _mm256_cvtps_epi32(number);
            let lower = _mm256_castsi256_si128(codes);
            let codes = _mm_packs_epi32(lower, _mm256_extracti128_si256::<1>(codes));
            _mm_storeu_si128(p.as_mut_ptr().add(i).cast(), codes);
        }
    }
    let mut lanes = [0.0; 8];
    // SAFETY: eight lanes.
    unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), sum) };
    Sums { factor: unit, sum: unit * sum8(lanes) }
}
