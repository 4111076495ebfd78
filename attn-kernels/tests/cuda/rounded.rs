//! A row of attention in f64 that rounds what the kernels round, and nothing else: Q to K's operand
//! type or to codes, P to V's operand type or to codes, per fixed chunk.
//!
//! A weight whose f64 value is within f32's error of a tie may be rounded either way: both are what
//! the definition says. So the reference is the set of rows that such choices give, and what is
//! compared is the one among them that is nearest: one choice per weight has to explain all elements
//! of the row at once.

use std::ops::Range;

use attn_kernels::{AttentionShape, AttnMath, KvCache, LayerScales, ReferenceBuffer};
use fp8_format::ElementType::{self, Bf16, F8E5M2};

use crate::storage::read_codes;

const CHUNK: usize = 256;

/// A row, and how many of its weights could have been rounded otherwise, and were.
pub(crate) struct Row {
    pub(crate) out: Vec<f64>,
    pub(crate) lse: f64,
    pub(crate) unsure: usize,
    pub(crate) chosen: usize,
}

/// K and V of a sequence for one KV head: codes as numbers, and their own scales (or 1).
struct Tokens {
    k: Vec<(Vec<f64>, f64)>,
    v: Vec<(Vec<f64>, f64)>,
}

/// One KV head of a sequence, and how its rows are computed.
pub(crate) struct Rounded<'a> {
    cache: &'a KvCache<ReferenceBuffer>,
    scales: &'a LayerScales,
    attention: &'a AttentionShape,
    kv_head: usize,
    tokens: Tokens,
}

/// What one weight adds: `own` to the sum of weights, `weight` × V's codes to the output.
#[derive(Clone, Copy, PartialEq)]
struct Part {
    own: f64,
    weight: f64,
}

struct Weight {
    key: usize,
    /// The parts, chosen first, and both their factors.
    parts: [Part; 2],
    factors: Part,
}

impl<'a> Rounded<'a> {
    pub(crate) fn new(
        cache: &'a KvCache<ReferenceBuffer>,
        scales: &'a LayerScales,
        attention: &'a AttentionShape,
        (table, kv_len, kv_head): (&[u32], usize, usize),
    ) -> Self {
        let shape = cache.shape();
        let read = |buffer, stored| {
            let place =
                |j: usize| (table[j / shape.block_size] as usize, j % shape.block_size, kv_head);
            let row = |j| {
                let (codes, own) = read_codes(shape, buffer, stored, place(j));
                (codes.into_iter().map(f64::from).collect(), own.map_or(1.0, f64::from))
            };
            (0..kv_len).map(row).collect()
        };
        let tokens = Tokens { k: read(cache.k(), shape.k_type), v: read(cache.v(), shape.v_type) };
        Self { cache, scales, attention, kv_head, tokens }
    }

    /// The row of a head over the keys `visible` that is nearest to `got`; the last key is the
    /// query's own position.
    pub(crate) fn nearest(
        &self,
        q: &[f32],
        head: usize,
        visible: Range<usize>,
        got: &[f32],
    ) -> Row {
        let scores = self.scores(q, head, &visible);
        let sink = self.attention.variant.sinks.as_ref().map(|s| f64::from(s[head]));
        let max = scores.iter().copied().fold(sink.unwrap_or(f64::NEG_INFINITY), f64::max);
        let mut weights = Vec::new();
        for chunk in visible.start / CHUNK..visible.end.div_ceil(CHUNK) {
            let keys = visible.start.max(chunk * CHUNK)..visible.end.min((chunk + 1) * CHUNK);
            let scores = &scores[keys.start - visible.start..keys.end - visible.start];
            self.weigh(keys, scores, max, &mut weights);
        }
        let mut sum = sink.map_or(0.0, |sink| (sink - max).exp());
        let mut acc = vec![0.0; q.len()];
        for w in &weights {
            sum += w.parts[0].own * w.factors.own;
            let weight = w.parts[0].weight * w.factors.weight;
            acc.iter_mut().zip(&self.tokens.v[w.key].0).for_each(|(a, v)| *a += weight * v);
        }
        let v_scale = f64::from(self.scales.v.get(self.kv_head));
        let (mut chosen, mut error) = (0, distance(&acc, v_scale / sum, got));
        let unsure: Vec<&Weight> = weights.iter().filter(|w| w.parts[0] != w.parts[1]).collect();
        let mut open: Vec<(&Weight, usize)> = unsure.iter().map(|w| (*w, 0)).collect();
        // A choice that brings the row nearer is taken, until none does.
        loop {
            let before = chosen;
            for (w, now) in &mut open {
                let (from, to) = (w.parts[*now], w.parts[1 - *now]);
                let other_sum = sum + (to.own - from.own) * w.factors.own;
                let change = (to.weight - from.weight) * w.factors.weight;
                let values = &self.tokens.v[w.key].0;
                let other: Vec<f64> = acc.iter().zip(values).map(|(a, v)| a + change * v).collect();
                let other_error = distance(&other, v_scale / other_sum, got);
                if other_error < error {
                    (acc, sum, error) = (other, other_sum, other_error);
                    *now = 1 - *now;
                    chosen += 1;
                }
            }
            if chosen == before || chosen > 4 * unsure.len() {
                break;
            }
        }
        let out = acc.iter().map(|a| a * v_scale / sum).collect();
        Row { out, lse: max + sum.ln(), unsure: unsure.len(), chosen }
    }

    fn scores(&self, q: &[f32], head: usize, visible: &Range<usize>) -> Vec<f64> {
        let (shape, variant) = (self.cache.shape(), &self.attention.variant);
        let mut factor =
            f64::from(self.attention.softmax_scale) * f64::from(self.scales.k.get(self.kv_head));
        let q: Vec<f64> = if self.attention.math.uses_q_scale() {
            let scale = self.scales.q.get(head);
            factor *= f64::from(scale);
            q.iter().map(|&x| code(shape.k_type, x / scale)).collect()
        } else {
            q.iter().map(|&x| operand(shape.k_type, f64::from(x))).collect()
        };
        let score = |j: usize| {
            let (k, own) = &self.tokens.k[j];
            let mut s = q.iter().zip(k).map(|(q, k)| q * k).sum::<f64>() * factor * own;
            if let Some(cap) = variant.soft_cap.map(f64::from) {
                s = cap * (s / cap).tanh();
            }
            if let Some(slopes) = &variant.alibi_slopes {
                s -= f64::from(slopes[head]) * (visible.end - 1 - j) as f64;
            }
            s
        };
        visible.clone().map(score).collect()
    }

    /// The weights of one chunk's visible keys.
    fn weigh(&self, keys: Range<usize>, scores: &[f64], max: f64, weights: &mut Vec<Weight>) {
        let shape = self.cache.shape();
        let of_chunk = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let codes = self.attention.math == AttnMath::Fp8;
        let prob = self.scales.prob.unwrap_or(1.0 / 256.0);
        // A power of two near the largest own scale goes out of P and back into the output.
        let own_scale = |j: usize| if shape.v_per_token_head { self.tokens.v[j].1 } else { 1.0 };
        let range = keys.clone().map(own_scale).fold(0.0, f64::max).log2().floor().exp2();
        let part = |j: usize, p: f64| {
            let mut own = p;
            if codes {
                own = code(shape.v_type, p as f32 / prob);
            }
            if shape.v_per_token_head {
                return Part { own, weight: operand(shape.v_type, own * own_scale(j) / range) };
            }
            let weight = operand(shape.v_type, own);
            Part { own: weight, weight }
        };
        let scale = if codes { f64::from(prob) } else { 1.0 };
        let own = (of_chunk - max).exp() * scale;
        for (j, s) in keys.zip(scores) {
            let p = (s - of_chunk).exp();
            // What f32 may be off by: a few units in the last place of the scores and of exp.
            let error = (4.0 + s.abs() + of_chunk.abs()) * f64::from(f32::EPSILON) * 2.0;
            let nominal = part(j, p);
            let mut parts = [nominal; 2];
            for other in [part(j, p * (1.0 - error)), part(j, p * (1.0 + error))] {
                if other.weight != nominal.weight || (codes && other.own != nominal.own) {
                    parts[1] = other;
                }
            }
            if shape.v_per_token_head && !codes {
                parts[1].own = nominal.own;
            }
            if shape.v_type == Bf16 {
                // A step of 16 bits is nothing that a choice could explain.
                parts[1] = parts[0];
            }
            weights.push(Weight { key: j, parts, factors: Part { own, weight: own * range } });
        }
    }
}

/// The squared distance of a row from what a kernel gave.
fn distance(acc: &[f64], factor: f64, got: &[f32]) -> f64 {
    acc.iter().zip(got).map(|(a, g)| (a * factor - f64::from(*g)).powi(2)).sum()
}

/// A number as the operand that meets a stored type: f16, or beside bf16 the sum of two. By way of f32, which Q is and which is near a tie
/// only where the choice is open anyway: `half`'s own way from f64 passes over its lower 32 bits.
fn operand(stored: ElementType, x: f64) -> f64 {
    match stored {
        Bf16 => {
            let high = half::bf16::from_f32(x as f32).to_f32();
            f64::from(high) + half::bf16::from_f32(x as f32 - high).to_f64()
        }
        _ => half::f16::from_f32(x as f32).to_f64(),
    }
}

/// What the nearest code of an FP8 type stands for.
fn code(stored: ElementType, x: f32) -> f64 {
    let number = match stored {
        F8E5M2 => fp8_format::F8E5M2::from_f32(x, fp8_format::Overflow::Saturate).to_f32(),
        _ => fp8_format::F8E4M3::from_f32(x, fp8_format::Overflow::Saturate).to_f32(),
    };
    f64::from(number)
}
