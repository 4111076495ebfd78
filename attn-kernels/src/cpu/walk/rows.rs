//! Rows of queries and of weights as the kernels of K and V want them: in their order, with their
//! gains. All of it multiplies by powers of two, so it changes no result.

use std::ops::Range;

use super::{Call, Walk, Workspace};
use crate::cpu::kernels::{MAX_ROWS, SCORE_STRIDE, SideKernels};
use crate::element;
use crate::shape::Side;

const TWO_TO_60: f32 = (1u64 << 60) as f32;
/// Sizes of queries that a gain, and products with codes, leave within an f32's normal numbers.
const USUAL: Range<f32> = 1.0 / (1u64 << 20) as f32..TWO_TO_60;

/// The power of two in a positive number, kept where its reciprocal is a normal number, too.
fn power(x: f32) -> f32 {
    let power = f32::from_bits(x.to_bits() & 0x7f80_0000);
    power.clamp(1.0 / TWO_TO_60 / TWO_TO_60, TWO_TO_60 * TWO_TO_60)
}

/// The powers of two that chunks' outputs still lack when their rows are finished: what a row is
/// multiplied by before V's scale and the division by the sum, and what together with them.
///
/// Scales per token are in the outputs by then and may be small, so that most of what V's conversion
/// left out is made up for before them. The rest is room for sums over many tokens of large values.
pub(super) fn carried(call: &Call<'_>) -> (f32, f32) {
    const ROOM: f32 = (1u32 << 24) as f32;
    let factor = call.kernels.v.factor;
    if call.cache.shape.per_token_head(Side::V) { (1.0, factor.min(ROOM)) } else { (factor, 1.0) }
}

impl Walk<'_> {
    /// What queries and weights are multiplied by for tokens that ask for no care. Tiles have been
    /// converted completely.
    pub(super) fn gains(&self) -> [f32; 2] {
        let kernels = &self.call.kernels;
        match self.rows <= MAX_ROWS && self.call.integer.is_none() {
            true => [kernels.k.gains[0], kernels.v.gains[0]],
            false => [1.0; 2],
        }
    }

    /// Brings the queries into K's order, with its gains.
    pub(super) fn arrange_queries(&self, ws: &mut Workspace) {
        if self.call.integer.is_some() {
            return;
        }
        let (k, [gain, _]) = (&self.call.kernels.k, self.gains());
        let careful = self.rows <= MAX_ROWS && k.gains[0] != k.gains[1];
        let Workspace { q, arranged: [plain, lowered], q_factors, .. } = ws;
        plain.resize(q.len(), 0.0);
        lowered.resize(q.len(), 0.0);
        for (index, row) in q.chunks_exact(self.d).enumerate() {
            let mut inverse = 1.0;
            // Infinities and NaNs stay what they are; what is finite beside them must not overflow
            // by one gain and not by another.
            let size = element::finite_absmax(row);
            if k.factor != 1.0 && size > 0.0 && !USUAL.contains(&size) {
                inverse = 1.0 / power(size);
                q_factors[index] *= power(size);
            }
            let at = index * self.d..(index + 1) * self.d;
            k.order.arrange(row, &mut plain[at.clone()], |x| x * inverse * gain);
            if careful {
                k.order.arrange(row, &mut lowered[at], |x| x * inverse * k.gains[1]);
            }
        }
    }

    /// Gives weights V's gain, after they were rounded or multiplied by scales per token. Those
    /// scales may have made them of any size: then the largest is made about 1 first, and what that
    /// takes is returned.
    pub(super) fn raise_weights(&self, row: &mut [f32], any_size: bool) -> f32 {
        let [_, gain] = self.gains();
        let mut taken = 1.0;
        if any_size && self.call.kernels.v.factor != 1.0 {
            taken = power(row.iter().copied().fold(0.0, f32::max));
        }
        let inverse = 1.0 / taken;
        row.iter_mut().for_each(|p| *p = *p * inverse * gain);
        taken
    }
}

/// The weights of tokens `columns` of a chunk, in place in `lowered`, as V's kernels want them for
/// tokens that ask for care.
pub(super) fn lower<'a>(
    v: &SideKernels,
    p: &[f32],
    rows: usize,
    columns: Range<usize>,
    lowered: &'a mut [f32; MAX_ROWS * SCORE_STRIDE],
) -> &'a [f32] {
    let factor = v.gains[1] / v.gains[0];
    for r in 0..rows {
        let at = r * SCORE_STRIDE + columns.start..r * SCORE_STRIDE + columns.end;
        lowered[at.clone()].iter_mut().zip(&p[at]).for_each(|(to, p)| *to = p * factor);
    }
    lowered
}
