//! The primitives in plain code, for machines without a SIMD path.

use fp8_format::ElementType;

use crate::cpu::kernels::{Kernels, SCORE_STRIDE, ScoreMap, SideKernels, Stats, Tokens};
use crate::cpu::order::Order;
use crate::element;
use crate::shape::CacheShape;

/// The table for one pair of storage types.
pub(crate) fn kernels(k: ElementType, v: ElementType) -> Kernels {
    Kernels { k: side(k), v: side(v), tile: side(ElementType::F32), softmax, merge }
}

fn side(stored: ElementType) -> SideKernels {
    macro_rules! side {
        ($($name:ident)*) => {
            match stored {$(
                ElementType::$name => SideKernels {
                    scores: |t, q, rows, s| scores(ElementType::$name, t, q, rows, s),
                    accumulate: |t, p, rows, a| accumulate(ElementType::$name, t, p, rows, a),
                    decode: |t, tile| decode(ElementType::$name, t, tile),
                    order: Order::Natural,
                    gains: [1.0; 2],
                    factor: 1.0,
                    minds_subnormals: false,
                },
            )*}
        };
    }
    side!(F32 F16 Bf16 F8E4M3 F8E5M2 F8E4M3Fnuz F8E5M2Fnuz Int8)
}

fn scores(stored: ElementType, tokens: &Tokens<'_>, q: &[f32], rows: usize, scores: &mut [f32]) {
    let d = tokens.head_dim;
    let mut token = [0.0; CacheShape::MAX_HEAD_DIM];
    for t in 0..tokens.count {
        element::decode(stored, tokens.token(t, stored.size()), &mut token[..d]);
        for r in 0..rows {
            scores[r * SCORE_STRIDE + t] = dot(&q[r * d..(r + 1) * d], &token[..d]);
        }
    }
}

/// Eight partial sums, as SIMD has them: the order of additions is fixed.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut s = [0.0f32; 8];
    for (a, b) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
        for (s, (a, b)) in s.iter_mut().zip(a.iter().zip(b)) {
            *s += a * b;
        }
    }
    ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]))
}

fn accumulate(stored: ElementType, tokens: &Tokens<'_>, p: &[f32], rows: usize, acc: &mut [f32]) {
    let d = tokens.head_dim;
    let mut token = [0.0; CacheShape::MAX_HEAD_DIM];
    for t in 0..tokens.count {
        element::decode(stored, tokens.token(t, stored.size()), &mut token[..d]);
        for r in 0..rows {
            let p = p[r * SCORE_STRIDE + t];
            for (a, &v) in acc[r * d..(r + 1) * d].iter_mut().zip(&token[..d]) {
                *a += p * v;
            }
        }
    }
}

fn decode(stored: ElementType, tokens: &Tokens<'_>, tile: &mut [f32]) {
    for (t, row) in tile.chunks_exact_mut(tokens.head_dim).take(tokens.count).enumerate() {
        element::decode(stored, tokens.token(t, stored.size()), row);
    }
}

fn softmax(row: &mut [f32], visible: (usize, usize), map: &ScoreMap) -> Stats {
    let mut max = f32::NEG_INFINITY;
    for (j, s) in row.iter_mut().enumerate().take(visible.1).skip(visible.0) {
        *s = *s * map.unscale * map.factor;
        if let Some(cap) = map.soft_cap {
            *s = cap * (*s / cap).tanh();
        }
        if let Some((slope, position)) = map.alibi {
            *s += slope * (j as f32 - position);
        }
        // A NaN is passed over here, and reaches the sum below.
        max = max.max(*s);
    }
    // With nothing but −∞ every weight is 0, not NaN.
    let base = if max == f32::NEG_INFINITY { 0.0 } else { max };
    let mut sum = 0.0;
    for s in &mut row[visible.0..visible.1] {
        let weight = (*s - base).exp();
        *s = weight * map.gain;
        sum += weight;
    }
    Stats { max, sum }
}

/// See [`Merge`](crate::cpu::kernels::Merge). A state without keys changes nothing, exactly.
fn merge(out: &mut [f32], stats: &mut Stats, chunk_out: &[f32], chunk: Stats) {
    if let Some((a, b)) = weights(stats, chunk, f32::exp) {
        for (o, &c) in out.iter_mut().zip(chunk_out) {
            *o = *o * a + c * b;
        }
    }
}

/// The factors of the running and the new output, and the merged statistics; `None` where the new
/// state is empty.
pub(crate) fn weights(
    stats: &mut Stats,
    chunk: Stats,
    exp: impl Fn(f32) -> f32,
) -> Option<(f32, f32)> {
    if chunk == Stats::EMPTY {
        return None;
    }
    let max = stats.max.max(chunk.max);
    let base = if max == f32::NEG_INFINITY { 0.0 } else { max };
    let (a, b) = (exp(stats.max - base), exp(chunk.max - base));
    *stats = Stats { max, sum: stats.sum * a + chunk.sum * b };
    Some((a, b))
}
