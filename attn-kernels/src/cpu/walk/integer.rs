//! A chunk in integer arithmetic: as the other, but queries and weights are 16-bit numbers, and a
//! chunk's sums are exact until they become its output.

use std::ops::Range;

use super::{Walk, Workspace};
use crate::cpu::integer::{IntegerKernels, round_query};
use crate::cpu::kernels::{MAX_ROWS, SCORE_STRIDE, Tokens};
use crate::plan::CHUNK;
use crate::shape::Side;

/// What integer arithmetic needs beside a task's other memory.
#[derive(Debug, Default)]
pub(super) struct Integers {
    /// `[heads][rows][head_dim]`
    q: Vec<i16>,
    /// `[heads][rows][SCORE_STRIDE]`
    p: Vec<i16>,
    /// `[heads][rows]`: what a unit of `p` means.
    p_factors: Vec<f32>,
    /// `[heads][rows][head_dim]`
    sums: Vec<i32>,
}

impl Integers {
    /// Rounds the queries, noting what their units mean.
    pub(super) fn round_queries(&mut self, q: &[f32], head_dim: usize, factors: &mut Vec<f32>) {
        self.q.clear();
        factors.clear();
        factors.extend(q.chunks_exact(head_dim).map(|row| round_query(row, &mut self.q)));
        self.p.resize(factors.len() * SCORE_STRIDE, 0);
        self.p_factors.resize(factors.len(), 0.0);
    }

    /// Rounds a row's weights; returns their sum. `visible` may be empty.
    pub(super) fn round_weights(
        &mut self,
        kernels: &IntegerKernels,
        index: usize,
        row: &[f32],
        visible: (usize, usize),
        columns: Option<&[f32; CHUNK]>,
    ) -> f32 {
        let p = &mut self.p[index * SCORE_STRIDE..(index + 1) * SCORE_STRIDE];
        let sums = (kernels.weights)(row, visible, columns, p);
        self.p_factors[index] = sums.factor;
        sums.sum
    }

    /// A row that sees nothing of the chunk.
    pub(super) fn no_weights(&mut self, index: usize) {
        self.p[index * SCORE_STRIDE..(index + 1) * SCORE_STRIDE].fill(0);
        self.p_factors[index] = 0.0;
    }
}

impl Walk<'_> {
    pub(super) fn integer_scores(
        &self,
        kernels: &IntegerKernels,
        base: usize,
        seen: Range<usize>,
        ws: &mut Workspace,
    ) {
        let (rows, d) = (self.rows, self.d);
        self.for_each_piece(Side::K, seen, |head, from, tokens| {
            let at = from - base;
            for r in (0..rows).step_by(MAX_ROWS) {
                let n = MAX_ROWS.min(rows - r);
                if seen_by(&ws.visible[r..r + n], at, tokens) {
                    let q = &ws.integers.q[(head * rows + r) * d..];
                    let scores = &mut ws.scores[(head * rows + r) * SCORE_STRIDE + at..];
                    (kernels.scores)(tokens, q, n, scores);
                }
            }
        });
    }

    pub(super) fn integer_values(
        &self,
        kernels: &IntegerKernels,
        base: usize,
        seen: Range<usize>,
        ws: &mut Workspace,
    ) {
        let (rows, d) = (self.rows, self.d);
        let Integers { p, p_factors, sums, .. } = &mut ws.integers;
        sums.clear();
        sums.resize(self.heads() * rows * d, 0);
        // The weight of a token that a row does not see is 0, and no INT8 code is a NaN: rows need
        // not be told apart.
        self.for_each_piece(Side::V, seen, |head, from, tokens| {
            let at = from - base;
            for r in (0..rows).step_by(MAX_ROWS) {
                let n = MAX_ROWS.min(rows - r);
                if seen_by(&ws.visible[r..r + n], at, tokens) {
                    let first = head * rows + r;
                    let (p, sums) = (&p[first * SCORE_STRIDE + at..], &mut sums[first * d..]);
                    (kernels.accumulate)(tokens, p, n, sums);
                }
            }
        });
        let rows = ws.chunk_out.chunks_exact_mut(d).zip(sums.chunks_exact(d)).zip(p_factors);
        for ((out, sums), factor) in rows {
            out.iter_mut().zip(sums).for_each(|(o, s)| *o = *s as f32 * *factor);
        }
    }
}

/// Whether any of the rows sees any of the tokens that begin at `at`. The rows' ranges move with
/// the query: the first begins, the last ends what they see.
fn seen_by(visible: &[(usize, usize)], at: usize, tokens: &Tokens<'_>) -> bool {
    visible[0].0 < at + tokens.count && visible[visible.len() - 1].1 > at
}
