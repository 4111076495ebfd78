//! What happens to a chunk's rows beside the kernels: scales per token, and rounding where the
//! arithmetic asks for it. Each is small against the dot products of a chunk.

use std::ops::Range;

use super::{Walk, Workspace};
use crate::element;
use crate::math::default_prob_scale;
use crate::plan::CHUNK;
use crate::shape::Side;

/// One factor per token of a chunk.
pub(super) type Columns = [f32; CHUNK];

impl Walk<'_> {
    /// A head's dynamic scales in the chunk at `base`, of the tokens `seen`; `None` where the side
    /// has none.
    pub(super) fn columns(
        &self,
        side: Side,
        head: usize,
        base: usize,
        seen: &Range<usize>,
    ) -> Option<Columns> {
        let shape = &self.call.cache.shape;
        if !shape.per_token_head(side) {
            return None;
        }
        let mut columns = [0.0; CHUNK];
        let block_size = shape.block_size;
        for index in seen.start / block_size..seen.end.div_ceil(block_size) {
            // Blocks do not reach over chunks: their size divides 256.
            let to = &mut columns[index * block_size - base..][..block_size];
            let stored = self.call.cache.buffer(side).scales(self.table[index] as usize, head)?;
            for (to, &from) in to.iter_mut().zip(stored.as_chunks().0) {
                *to = f32::from_le_bytes(from);
            }
        }
        Some(columns)
    }

    /// Rounds the queries where the arithmetic does: to what their codes mean without the q scale,
    /// or to 16 bits. Notes the factors that this leaves to the dot products.
    pub(super) fn round_queries(&self, ws: &mut Workspace) {
        let Workspace { q, q_factors, integers, .. } = ws;
        if self.call.integer.is_some() {
            return integers.round_queries(q, self.d, q_factors);
        }
        q_factors.clear();
        let rounds = self.call.plan.attention().math.uses_q_scale();
        for (index, row) in q.chunks_exact_mut(self.d).enumerate() {
            let scale = if rounds { self.call.scales.q.get(self.query_head(index)) } else { 1.0 };
            if rounds {
                element::round(self.call.cache.shape.k_type, row, scale);
            }
            q_factors.push(scale);
        }
    }

    /// The query head of a row of the task, counted over its KV heads.
    fn query_head(&self, index: usize) -> usize {
        (self.task.heads.0 + index / self.rows) * self.group + index % self.rows % self.group
    }

    /// Rounds `exp(s − max)` to V's format where the arithmetic does that, and sums up the rest.
    pub(super) fn round_weights(&self, row: &mut [f32], visible: (usize, usize)) -> Option<f32> {
        if !self.call.plan.attention().math.uses_prob_scale() {
            return None;
        }
        let stored = self.call.cache.shape.v_type;
        let scale = self.call.scales.prob.unwrap_or(default_prob_scale(stored));
        let row = &mut row[visible.0..visible.1];
        element::round(stored, row, scale);
        // In eight parts, so that the compiler may use SIMD. What a row sees of a chunk is the same
        // however work is cut up, so the order is too.
        let mut sums = [0.0f32; 8];
        for (i, p) in row.iter_mut().enumerate() {
            *p *= scale;
            sums[i % 8] += *p;
        }
        Some(sums.into_iter().sum())
    }
}

/// `row[i] *= factor × columns[i]` for the visible tokens. The factor, a power of two that a
/// conversion left out, goes first: a small scale must not meet what is small for want of it.
pub(super) fn scale(
    row: &mut [f32],
    visible: (usize, usize),
    columns: Option<&Columns>,
    factor: f32,
) {
    let Some(columns) = columns else { return };
    let (from, to) = visible;
    row[from..to].iter_mut().zip(&columns[from..to]).for_each(|(x, c)| *x = *x * factor * c);
}
