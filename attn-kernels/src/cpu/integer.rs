//! Integer arithmetic on INT8 tokens: its primitives as a table of functions, and in plain code.
//!
//! Products of 8-bit codes and 16-bit numbers are summed in 32 bits, exactly (a dot product in parts
//! of 512): whatever order and tiles an instruction set prefers, the sums are the same.

use crate::cpu::kernels::{SCORE_STRIDE, Tokens};
use crate::plan::CHUNK;

/// `scores[r × SCORE_STRIDE + t] = q[r] · token[t]`, for at most [`MAX_ROWS`] rows of `q`. Up to 7
/// elements after a row's last token may be overwritten.
///
/// [`MAX_ROWS`]: crate::cpu::kernels::MAX_ROWS
pub(crate) type Scores = fn(tokens: &Tokens<'_>, q: &[i16], rows: usize, scores: &mut [f32]);
/// `acc[r] += Σ_t p[r × SCORE_STRIDE + t] × token[t]`.
pub(crate) type Accumulate = fn(tokens: &Tokens<'_>, p: &[i16], rows: usize, acc: &mut [i32]);
/// Rounds the visible weights of a row to 16 bits; the others become 0.
pub(crate) type Weights =
    fn(row: &[f32], visible: (usize, usize), columns: Option<&[f32; CHUNK]>, p: &mut [i16]) -> Sums;

/// The primitives of one instruction set.
#[derive(Clone, Copy)]
pub(crate) struct IntegerKernels {
    pub(crate) scores: Scores,
    pub(crate) accumulate: Accumulate,
    pub(crate) weights: Weights,
}

/// What became of a row's weights: `weight ≈ p × factor`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sums {
    pub(crate) factor: f32,
    /// Of the rounded weights, each divided by its column's scale.
    pub(crate) sum: f32,
}

/// The largest rounded weight. 256 of them times 128 fit in 32 bits.
pub(crate) const MAX_WEIGHT: f32 = 32767.0;

/// The largest element of a rounded query.
const MAX_QUERY: f32 = 32767.0;
/// As many elements of a dot product of codes and a rounded query fit in 32 bits.
pub(crate) const MAX_ELEMENTS: usize = 512;

/// Rounds a query; returns what a unit of it means. A query with NaN or infinities means NaN.
pub(crate) fn round_query(q: &[f32], out: &mut Vec<i16>) -> f32 {
    let absmax = fp8_format::absmax(q);
    let unit = absmax / MAX_QUERY;
    if !absmax.is_finite() || unit < f32::MIN_POSITIVE {
        out.extend(std::iter::repeat_n(0, q.len()));
        return if absmax.is_finite() { 0.0 } else { f32::NAN };
    }
    out.extend(q.iter().map(|x| round(x / unit).1));
    unit
}

/// The nearest integer, ties to even, as a number and as 16 bits. `|x|` is at most 2^15.
fn round(x: f32) -> (f32, i16) {
    // 1.5 × 2^23: the sum's last place is 1 and its lower bits are the integer.
    const MAGIC: f32 = 12_582_912.0;
    let shifted = x + MAGIC;
    (shifted - MAGIC, shifted.to_bits() as u16 as i16)
}

/// The primitives in plain code.
pub(crate) const SCALAR: IntegerKernels = IntegerKernels { scores, accumulate, weights };

fn scores(tokens: &Tokens<'_>, q: &[i16], rows: usize, scores: &mut [f32]) {
    let d = tokens.head_dim;
    for t in 0..tokens.count {
        let codes = tokens.token(t, 1);
        for (r, q) in q.chunks_exact(d).take(rows).enumerate() {
            let pairs = q.iter().zip(codes);
            let products = pairs.map(|(&q, &k)| i32::from(q) * i32::from(k.cast_signed()));
            scores[r * SCORE_STRIDE + t] = products.map(i64::from).sum::<i64>() as f32;
        }
    }
}

fn accumulate(tokens: &Tokens<'_>, p: &[i16], rows: usize, acc: &mut [i32]) {
    for t in 0..tokens.count {
        let codes = tokens.token(t, 1);
        for (r, acc) in acc.chunks_exact_mut(tokens.head_dim).take(rows).enumerate() {
            let p = i32::from(p[r * SCORE_STRIDE + t]);
            for (a, &v) in acc.iter_mut().zip(codes) {
                *a += p * i32::from(v.cast_signed());
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
    p.fill(0);
    let seen = visible.0..visible.1;
    let max = columns.map(|_| row[seen.clone()].iter().copied().fold(0.0, f32::max));
    let (unit, inverse) = units(max);
    let mut sums = [0.0; 8];
    for j in seen {
        let (number, code) = round(row[j] * inverse);
        p[j] = code;
        sums[j % 8] += columns.map_or(number, |c| number / c[j]);
    }
    Sums { factor: unit, sum: unit * sum8(sums) }
}

/// What a unit of rounded weights means where the largest weight is `max`, and how many make 1.
/// Without scales per token the largest is 1, exactly.
pub(crate) fn units(max: Option<f32>) -> (f32, f32) {
    let max = max.filter(|max| *max > f32::MIN_POSITIVE * MAX_WEIGHT).unwrap_or(1.0);
    (max / MAX_WEIGHT, MAX_WEIGHT / max)
}

/// In the order of SIMD code.
pub(crate) fn sum8(s: [f32; 8]) -> f32 {
    ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]))
}
