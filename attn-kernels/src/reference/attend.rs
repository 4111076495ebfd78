//! One row of attention, in f64: the definition of every arithmetic but the integer one, whose
//! rounding is an error against the formula and not part of it.

use crate::attention::AttentionShape;
use crate::backend::KvCache;
use crate::batch::Sequence;
use crate::element;
use crate::math::default_prob_scale;
use crate::plan::{CHUNK, Plan};
use crate::reference::ReferenceBuffer;
use crate::scales::LayerScales;
use crate::shape::Side;

/// What all rows of a call share.
pub(super) struct Rows<'a> {
    pub(super) plan: &'a Plan,
    pub(super) cache: &'a KvCache<ReferenceBuffer>,
    pub(super) scales: &'a LayerScales,
}

impl Rows<'_> {
    /// Attention of query token `i` of a sequence, for one head, over the keys and values of its KV
    /// head. Returns the lse.
    pub(super) fn attend(
        &self,
        (sequence, i): (&Sequence, usize),
        head: usize,
        (keys, values): (&[Vec<f64>], &[Vec<f64>]),
        q: &[f32],
        out: &mut [f32],
    ) -> f32 {
        let AttentionShape { softmax_scale, variant, .. } = self.plan.attention();
        let (q, visible) = (self.query(head, q), self.plan.visible(sequence, i));
        let score = |j: usize| {
            let dot: f64 = q.iter().zip(&keys[j]).map(|(q, k)| q * k).sum();
            let mut s = dot * f64::from(*softmax_scale);
            if let Some(cap) = variant.soft_cap.map(f64::from) {
                s = cap * (s / cap).tanh();
            }
            if let Some(slopes) = &variant.alibi_slopes {
                // The last visible key is the query's own position.
                s -= f64::from(slopes[head]) * (visible.end - 1 - j) as f64;
            }
            s
        };
        let scores: Vec<f64> = visible.clone().map(score).collect();
        let sink = variant.sinks.as_ref().map_or(f64::NEG_INFINITY, |s| f64::from(s[head]));
        // `f64::max` passes over NaN; a NaN score still reaches the sum below.
        let max = scores.iter().copied().fold(sink, f64::max);
        if max == f64::NEG_INFINITY && !scores.iter().any(|s| s.is_nan()) {
            out.fill(0.0);
            return f32::NEG_INFINITY;
        }
        let mut sum = (sink - max).exp();
        let mut acc = vec![0.0; out.len()];
        for (j, p) in visible.clone().zip(self.weights(visible.start, &scores, max)) {
            sum += p;
            acc.iter_mut().zip(&values[j]).for_each(|(a, v)| *a += p * v);
        }
        for (o, a) in out.iter_mut().zip(acc) {
            *o = (a / sum) as f32;
        }
        (max + sum.ln()) as f32
    }

    /// The query as it takes part: rounded to K's format where the arithmetic does that.
    fn query(&self, head: usize, q: &[f32]) -> Vec<f64> {
        let mut q = q.to_vec();
        let mut scale = 1.0;
        if self.plan.attention().math.uses_q_scale() {
            scale = self.scales.q.get(head);
            element::round(self.cache.shape.k_type, &mut q, scale);
        }
        q.into_iter().map(|q| f64::from(q) * f64::from(scale)).collect()
    }

    /// `exp(s − max)` of the keys from `first` on, rounded chunk by chunk where the arithmetic does
    /// that.
    fn weights(&self, first: usize, scores: &[f64], max: f64) -> Vec<f64> {
        let exact = |s: f64, max: f64| if s == f64::NEG_INFINITY { 0.0 } else { (s - max).exp() };
        if !self.plan.attention().math.uses_prob_scale() {
            return scores.iter().map(|&s| exact(s, max)).collect();
        }
        let stored = self.cache.shape.v_type;
        let scale = self.scales.prob.unwrap_or(default_prob_scale(stored));
        let mut weights = Vec::with_capacity(scores.len());
        while weights.len() < scores.len() {
            let from = weights.len();
            let to = scores.len().min((first + from) / CHUNK * CHUNK + CHUNK - first);
            let of_chunk = scores[from..to].iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let mut p: Vec<f32> =
                scores[from..to].iter().map(|&s| exact(s, of_chunk) as f32).collect();
            element::round(stored, &mut p, scale);
            let factor = f64::from(scale) * exact(of_chunk, max);
            weights.extend(p.into_iter().map(|p| f64::from(p) * factor));
        }
        weights
    }

    /// K or V of all tokens of a sequence, dequantized.
    pub(super) fn tokens(&self, side: Side, sequence: &Sequence, kv_head: usize) -> Vec<Vec<f64>> {
        let (table, block_size) = (self.plan.batch().table(sequence), self.cache.shape.block_size);
        let token = |j: usize| {
            let (block, offset) = (table[j / block_size] as usize, j % block_size);
            let (codes, scale) = self.cache.row(side, self.scales, block, offset, kv_head);
            codes.into_iter().map(|c| f64::from(c) * f64::from(scale)).collect()
        };
        (0..sequence.kv_len).map(token).collect()
    }
}
