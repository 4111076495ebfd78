//! One task: its chunks from left to right, each reduced by itself, merged or put aside.

mod columns;
mod integer;
mod pieces;
mod rows;

use std::ops::Range;

use self::integer::Integers;
use crate::backend::KvCache;
use crate::batch::Sequence;
use crate::cpu::buffer::CpuBuffer;
use crate::cpu::care::Care;
use crate::cpu::integer::IntegerKernels;
use crate::cpu::kernels::{Kernels, MAX_ROWS, SCORE_STRIDE, ScoreMap, SideKernels, Stats, Tokens};
use crate::cpu::work::{Task, rows_per_head, span};
use crate::mem::{Claims, f32_bytes};
use crate::plan::{CHUNK, Plan};
use crate::scales::LayerScales;
use crate::shape::{CacheShape, Side};

/// Tokens of a tile, converted once for many rows: 32 × 128 f32 are 16 KiB.
const TILE_TOKENS: usize = 32;

/// What all tasks of a call share.
pub(crate) struct Call<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) cache: &'a KvCache<CpuBuffer>,
    pub(crate) scales: &'a LayerScales,
    pub(crate) kernels: Kernels,
    /// Where the arithmetic is that of integers.
    pub(crate) integer: Option<IntegerKernels>,
    pub(crate) q: &'a [f32],
    /// Parts of `group_size × head_dim`, by row and KV head.
    pub(crate) out: Claims<'a>,
    /// Parts of `group_size`, by row and KV head.
    pub(crate) lse: Option<Claims<'a>>,
}

/// Memory that a task needs, kept from call to call.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    /// `[heads][rows][head_dim]`
    q: Vec<f32>,
    /// `q` as K's kernels want it, for tokens that ask for no care and for others.
    arranged: [Vec<f32>; 2],
    /// `[heads][rows]`: the factor on a row's dot products that its query brings along.
    q_factors: Vec<f32>,
    /// `[heads][rows]`: the factor on a row's weighted sum that its weights in this chunk leave.
    p_factors: Vec<f32>,
    /// `[heads][rows][SCORE_STRIDE]`
    scores: Vec<f32>,
    /// The chunk's output, `[heads][rows][head_dim]`.
    chunk_out: Vec<f32>,
    /// The running output, as `chunk_out`.
    out: Vec<f32>,
    /// `[heads][rows]`
    chunk_stats: Vec<Stats>,
    stats: Vec<Stats>,
    /// Per row: the keys it sees in this chunk, relative to the chunk's first.
    visible: Vec<(usize, usize)>,
    /// `[TILE_TOKENS][head_dim]`
    tile: Vec<f32>,
    integers: Integers,
}

/// Runs a task. States of its chunks go to `partials` if it has a place there, else it finishes
/// its rows.
pub(crate) fn run(call: &Call<'_>, task: &Task, ws: &mut Workspace, partials: &Claims<'_>) {
    let walk = Walk::new(call, task);
    let (rows, d) = (walk.rows * walk.heads(), walk.d);
    walk.gather_queries(ws);
    walk.round_queries(ws);
    walk.arrange_queries(ws);
    ws.scores.resize(rows * SCORE_STRIDE, 0.0);
    ws.tile.resize(TILE_TOKENS * d, 0.0);
    ws.out.clear();
    ws.out.resize(rows * d, 0.0);
    ws.stats.clear();
    ws.stats.resize(rows, Stats::EMPTY);
    for chunk in task.chunks.0..task.chunks.1 {
        walk.chunk(chunk * CHUNK, ws);
        for r in 0..rows {
            let (from, stats) = (&ws.chunk_out[r * d..(r + 1) * d], ws.chunk_stats[r]);
            if let Some(first) = task.partial {
                let place = partials.take(first + (chunk - task.chunks.0) * rows + r);
                place[..d].copy_from_slice(from);
                (place[d], place[d + 1]) = (stats.max, stats.sum);
            } else {
                let to = &mut ws.out[r * d..(r + 1) * d];
                (call.kernels.merge)(to, &mut ws.stats[r], from, stats);
            }
        }
    }
    if task.partial.is_none() {
        for head in task.heads.0..task.heads.1 {
            let first = (head - task.heads.0) * walk.rows;
            let out = &mut ws.out[first * d..(first + walk.rows) * d];
            finish(call, task, head, out, &mut ws.stats[first..first + walk.rows]);
        }
    }
}

/// Merges the chunks of queries that were divided, for one KV head, and finishes the rows.
pub(crate) fn join(call: &Call<'_>, whole: &Task, head: usize, ws: &mut Workspace, states: &[f32]) {
    let (rows, d) = (rows_per_head(call.plan, whole), call.cache.shape.head_dim);
    let all_rows = rows * (whole.heads.1 - whole.heads.0);
    let first = whole.partial.unwrap_or(0) + (head - whole.heads.0) * rows;
    ws.out.clear();
    ws.out.resize(rows * d, 0.0);
    ws.stats.clear();
    ws.stats.resize(rows, Stats::EMPTY);
    for chunk in 0..whole.chunks.1 - whole.chunks.0 {
        for r in 0..rows {
            let unit = state_unit(d);
            let state = &states[(first + chunk * all_rows + r) * unit..][..unit];
            let stats = Stats { max: state[d], sum: state[d + 1] };
            let to = &mut ws.out[r * d..(r + 1) * d];
            (call.kernels.merge)(to, &mut ws.stats[r], &state[..d], stats);
        }
    }
    finish(call, whole, head, &mut ws.out, &mut ws.stats);
}

/// Floats of one row's state: the output, the largest score, the sum; padded.
pub(crate) const fn state_unit(head_dim: usize) -> usize {
    head_dim + 8
}

/// Divides by the sum and writes a head's rows.
fn finish(call: &Call<'_>, task: &Task, head: usize, out: &mut [f32], stats: &mut [Stats]) {
    const NOTHING: [f32; CacheShape::MAX_HEAD_DIM] = [0.0; CacheShape::MAX_HEAD_DIM];
    let (group, d) = (call.plan.group_size(), call.cache.shape.head_dim);
    let (v_scale, order) = (call.scales.v.get(head), call.kernels.v.order);
    let (before, beside) = rows::carried(call);
    let row0 = call.plan.batch().sequences()[task.sequence].row;
    for i in task.queries.0..task.queries.1 {
        let part = (row0 + i) * call.cache.shape.num_kv_heads + head;
        let to = call.out.take(part);
        let mut to_lse = call.lse.as_ref().map(|lse| lse.take(part));
        for g in 0..group {
            let r = (i - task.queries.0) * group + g;
            let from = &mut out[r * d..(r + 1) * d];
            if let Some(sinks) = &call.plan.attention().variant.sinks {
                let sink = Stats { max: sinks[head * group + g], sum: 1.0 };
                (call.kernels.merge)(from, &mut stats[r], &NOTHING[..d], sink);
            }
            let Stats { max, sum } = stats[r];
            let to = &mut to[g * d..(g + 1) * d];
            let lse = if stats[r] == Stats::EMPTY {
                to.fill(0.0);
                f32::NEG_INFINITY
            } else {
                let factor = v_scale / sum * beside;
                order.restore(from, to, |x| x * before * factor);
                max + sum.ln()
            };
            if let Some(to_lse) = &mut to_lse {
                to_lse[g] = lse;
            }
        }
    }
}

/// A task's place in the cache.
struct Walk<'a> {
    call: &'a Call<'a>,
    task: &'a Task,
    sequence: &'a Sequence,
    table: &'a [u32],
    /// Query rows per KV head, token by token.
    rows: usize,
    group: usize,
    d: usize,
    /// The keys that any row sees.
    span: (usize, usize),
}

impl<'a> Walk<'a> {
    fn new(call: &'a Call<'a>, task: &'a Task) -> Self {
        let (plan, d) = (call.plan, call.cache.shape.head_dim);
        let sequence = &plan.batch().sequences()[task.sequence];
        let (table, group) = (plan.batch().table(sequence), plan.group_size());
        let (rows, span) = (rows_per_head(plan, task), span(plan, task.sequence, task.queries));
        Self { call, task, sequence, table, rows, group, d, span }
    }

    fn heads(&self) -> usize {
        self.task.heads.1 - self.task.heads.0
    }

    /// Brings each KV head's rows together.
    fn gather_queries(&self, ws: &mut Workspace) {
        let (heads, part) = (self.call.cache.shape.num_kv_heads, self.group * self.d);
        ws.q.clear();
        for head in self.task.heads.0..self.task.heads.1 {
            for i in self.task.queries.0..self.task.queries.1 {
                let at = ((self.sequence.row + i) * heads + head) * part;
                ws.q.extend_from_slice(&self.call.q[at..at + part]);
            }
        }
    }

    /// Reduces the chunk that begins at token `base` into `chunk_out` and `chunk_stats`.
    fn chunk(&self, base: usize, ws: &mut Workspace) {
        let seen = self.span.0.max(base)..self.span.1.min(base + CHUNK);
        self.note_visible(base, ws);
        match &self.call.integer {
            Some(integer) => self.integer_scores(integer, base, seen.clone(), ws),
            None => self.scores(base, seen.clone(), ws),
        }
        self.softmax(base, &seen, ws);
        ws.chunk_out.clear();
        ws.chunk_out.resize(self.heads() * self.rows * self.d, 0.0);
        match &self.call.integer {
            Some(integer) => self.integer_values(integer, base, seen, ws),
            None => self.values(base, seen, ws),
        }
    }

    fn note_visible(&self, base: usize, ws: &mut Workspace) {
        ws.visible.clear();
        for i in self.task.queries.0..self.task.queries.1 {
            let seen = self.call.plan.visible(self.sequence, i);
            let from = seen.start.clamp(base, base + CHUNK) - base;
            let to = seen.end.clamp(base, base + CHUNK) - base;
            ws.visible.extend(std::iter::repeat_n((from, to.max(from)), self.group));
        }
    }

    fn scores(&self, base: usize, seen: Range<usize>, ws: &mut Workspace) {
        let (rows, d) = (self.rows, self.d);
        let kernels = self.call.kernels;
        self.for_each_piece(Side::K, seen, |head, from, tokens| {
            let at = from - base;
            let careful = tokens.care > Care::Plain && kernels.k.gains[0] != kernels.k.gains[1];
            let q = &ws.arranged[usize::from(careful)][head * rows * d..];
            let scores = &mut ws.scores[head * rows * SCORE_STRIDE..];
            if rows <= MAX_ROWS {
                (kernels.k.scores)(tokens, q, rows, &mut scores[at..]);
                return;
            }
            let (tile, q) = (load_tile(&kernels.k, tokens, &mut ws.tile), &ws.arranged[0]);
            let q = &q[head * rows * d..];
            for r in (0..rows).step_by(MAX_ROWS) {
                let n = MAX_ROWS.min(rows - r);
                let visible = &ws.visible[r..r + n];
                // The rows' ranges move with the query: the first begins, the last ends it.
                if visible[0].0 < at + tokens.count && visible[n - 1].1 > at {
                    let scores = &mut scores[r * SCORE_STRIDE + at..];
                    (kernels.tile.scores)(&tile, &q[r * d..], n, scores);
                }
            }
        });
    }

    fn softmax(&self, base: usize, seen: &Range<usize>, ws: &mut Workspace) {
        let (attention, kernels) = (self.call.plan.attention(), &self.call.kernels);
        ws.chunk_stats.clear();
        ws.p_factors.clear();
        const MOST: f64 = f32::MAX as f64;
        let ([_, gain], unscale) = (self.gains(), kernels.k.factor);
        for head in self.task.heads.0..self.task.heads.1 {
            let factor =
                f64::from(attention.softmax_scale) * f64::from(self.call.scales.k.get(head));
            let [k_scales, v_scales] =
                [Side::K, Side::V].map(|side| self.columns(side, head, base, seen));
            // Weights that go on as they are get their gain at once.
            let goes_on = v_scales.is_none() && !attention.math.uses_prob_scale();
            for r in 0..self.rows {
                let index = (head - self.task.heads.0) * self.rows + r;
                let row = &mut ws.scores[index * SCORE_STRIDE..(index + 1) * SCORE_STRIDE];
                let visible = ws.visible[r];
                ws.p_factors.push(1.0);
                if visible.0 == visible.1 {
                    ws.chunk_stats.push(Stats::EMPTY);
                    if self.call.integer.is_some() {
                        ws.integers.no_weights(index);
                    }
                    continue;
                }
                let alibi = attention.variant.alibi_slopes.as_ref().map(|slopes| {
                    let i = self.task.queries.0 + r / self.group;
                    let position = self.call.plan.visible(self.sequence, i).end - 1;
                    let slope = slopes[head * self.group + r % self.group];
                    (slope, position as f32 - base as f32)
                });
                columns::scale(row, visible, k_scales.as_ref(), unscale);
                let factor = factor * f64::from(ws.q_factors[index]);
                let map = ScoreMap {
                    unscale: if k_scales.is_some() { 1.0 } else { unscale },
                    // Not infinite: a dot product of 0 is a score of 0 whatever the scales are.
                    factor: factor.clamp(-MOST, MOST) as f32,
                    gain: if goes_on { gain } else { 1.0 },
                    soft_cap: attention.variant.soft_cap,
                    alibi,
                };
                let mut stats = (kernels.softmax)(row, visible, &map);
                stats.sum = self.round_weights(row, visible).unwrap_or(stats.sum);
                columns::scale(row, visible, v_scales.as_ref(), 1.0);
                if let Some(integer) = &self.call.integer {
                    let columns = v_scales.as_ref();
                    stats.sum = ws.integers.round_weights(integer, index, row, visible, columns);
                } else if !goes_on {
                    let row = &mut row[visible.0..visible.1];
                    ws.p_factors[index] = self.raise_weights(row, v_scales.is_some());
                }
                ws.chunk_stats.push(stats);
            }
        }
    }

    fn values(&self, base: usize, seen: Range<usize>, ws: &mut Workspace) {
        let (rows, d) = (self.rows, self.d);
        let kernels = self.call.kernels;
        self.for_each_piece(Side::V, seen, |head, from, tokens| {
            let at = from - base;
            let p = &ws.scores[head * rows * SCORE_STRIDE..];
            let out = &mut ws.chunk_out[head * rows * d..(head + 1) * rows * d];
            if rows <= MAX_ROWS {
                let mut lowered;
                let p = if tokens.care == Care::Plain {
                    p
                } else {
                    lowered = [0.0; MAX_ROWS * SCORE_STRIDE];
                    rows::lower(&kernels.v, p, rows, at..at + tokens.count, &mut lowered)
                };
                add_values(&kernels.v, tokens, at, p, &ws.visible, out);
                return;
            }
            let tile = load_tile(&kernels.v, tokens, &mut ws.tile);
            for r in (0..rows).step_by(MAX_ROWS) {
                let n = MAX_ROWS.min(rows - r);
                let (p, out) = (&p[r * SCORE_STRIDE..], &mut out[r * d..(r + n) * d]);
                add_values(&kernels.tile, &tile, at, p, &ws.visible[r..r + n], out);
            }
        });
        // First up, then by what may be small.
        let (before, beside) = rows::carried(self.call);
        let up = kernels.v.factor / (before * beside);
        for (out, &factor) in ws.chunk_out.chunks_exact_mut(d).zip(&ws.p_factors) {
            if (up, factor) != (1.0, 1.0) {
                out.iter_mut().for_each(|x| *x = *x * up * factor);
            }
        }
    }
}

/// Converts tokens once, for all rows.
fn load_tile<'a>(side: &SideKernels, tokens: &Tokens<'_>, tile: &'a mut [f32]) -> Tokens<'a> {
    (side.decode)(tokens, tile);
    let bytes = f32_bytes(tile);
    let stride = tokens.head_dim * size_of::<f32>();
    Tokens { bytes, stride, care: Care::Plain, ..*tokens }
}

/// Adds tokens `at..` of the chunk, weighted, to at most [`MAX_ROWS`] rows: each row those it sees
/// and no other, since a weight of 0 would not keep a NaN out.
fn add_values(
    side: &SideKernels,
    tokens: &Tokens<'_>,
    at: usize,
    p: &[f32],
    visible: &[(usize, usize)],
    out: &mut [f32],
) {
    let (d, end) = (tokens.head_dim, at + tokens.count);
    let mut add = |rows: Range<usize>, from: usize, to: usize| {
        if from >= to {
            return;
        }
        let skipped = (from - at) * tokens.stride;
        let part = Tokens { bytes: &tokens.bytes[skipped..], count: to - from, ..*tokens };
        let p = &p[rows.start * SCORE_STRIDE + from..];
        (side.accumulate)(&part, p, rows.len(), &mut out[rows.start * d..rows.end * d]);
    };
    // The tokens that all rows see are taken together, those around them row by row, in order.
    let common = visible.iter().fold((at, end), |c, v| (c.0.max(v.0), c.1.min(v.1)));
    let common = (common.0, common.1.max(common.0));
    if common == (at, end) {
        add(0..visible.len(), at, end);
        return;
    }
    for (r, v) in visible.iter().enumerate() {
        add(r..r + 1, v.0.max(at), v.1.min(common.0).min(end));
    }
    add(0..visible.len(), common.0, common.1);
    for (r, v) in visible.iter().enumerate() {
        add(r..r + 1, v.0.max(common.1).max(at), v.1.min(end));
    }
}
