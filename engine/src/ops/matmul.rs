//! The driver of the matrix product: who computes which panel of which output.

use super::scalar::{self, Lanes, Sums, TILE_COLUMNS, TILE_ROWS};
use super::simd::{self, Isa};
use super::{Matrix, WeightType};
use crate::mem::{Aligned, Output, Panel, for_each_panel};
use std::cell::RefCell;
use std::ops::Range;

/// One matrix product of several that read the same input.
pub struct Product<'a> {
    /// `[out][in]`.
    pub weight: Matrix<'a>,
    /// `[out]`, added after the sum.
    pub bias: Option<&'a [f32]>,
    /// `[rows][out]`.
    pub out: &'a mut [f32],
}

/// Output columns of one task: enough weights to outlast the scheduling, few enough to share out.
const PANEL: usize = 32;
/// From this many rows on a panel's weights are widened once into L1 instead of once per tile.
const WIDEN_FROM: usize = 7;
/// Inputs per widened panel: four rows of them, and three of `x`, stay in a 32 KiB L1.
const DEPTH_BLOCK: usize = 1024;
/// Bytes of `x` that are swept per widened panel: they stay in L2.
const ROW_BLOCK_BYTES: usize = 384 << 10;

/// What a thread keeps between products.
struct Scratch {
    wide: Aligned,
    lanes: Vec<Lanes>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> =
        const { RefCell::new(Scratch { wide: Aligned::new(), lanes: Vec::new() }) };
}

/// Computes every product from the same `x` (`[rows][in]`) in one parallel region, on the threads
/// of the ambient rayon pool. See the [module](super) for the order of summation.
///
/// # Panics
/// If a length does not fit its matrix, or there are more than four products: bugs of the caller.
pub fn matmul<const N: usize>(x: &[f32], rows: usize, products: [Product<'_>; N]) {
    let mut weights: [(Matrix<'_>, Option<&[f32]>); N] =
        [(Matrix::new(&[], WeightType::F32, 0, 0), None); N];
    let mut index = 0;
    let mut outputs = products.map(|product| {
        let Product { weight, bias, out } = product;
        assert_eq!(x.len(), rows * weight.columns(), "an input of {rows} rows");
        assert!(bias.is_none_or(|b| b.len() == weight.rows()), "one bias per output");
        weights[index] = (weight, bias);
        index += 1;
        Output { data: out, width: weight.rows() }
    });
    if rows == 0 {
        return;
    }
    let isa = simd::isa();
    for_each_panel(&mut outputs, rows, PANEL, |index, panel| {
        let (weight, bias) = weights[index];
        match isa {
            Isa::Scalar => scalar_panel(x, rows, &weight, bias, panel),
            _ => vector_panel(isa, x, rows, &weight, bias, panel),
        }
    });
}

fn scalar_panel(
    x: &[f32],
    rows: usize,
    weight: &Matrix<'_>,
    bias: Option<&[f32]>,
    mut panel: Panel<'_>,
) {
    for (row, x) in x.chunks_exact(weight.columns()).enumerate().take(rows) {
        for column in panel.start..panel.end {
            let mut y = [scalar::dot(x, weight.row(column), weight.dtype())];
            finish(&mut y, column, bias);
            panel.store(row, column, &y);
        }
    }
}

fn vector_panel(
    isa: Isa,
    x: &[f32],
    rows: usize,
    weight: &Matrix<'_>,
    bias: Option<&[f32]>,
    mut panel: Panel<'_>,
) {
    let columns = panel.start..panel.end;
    let mut store = |row: usize, count: usize, tile: Range<usize>, y: Sums| {
        for (i, mut y) in y.into_iter().enumerate().take(count) {
            let y = &mut y[..tile.len()];
            finish(y, tile.start, bias);
            panel.store(row + i, tile.start, y);
        }
    };
    let tiles = columns.clone().step_by(TILE_COLUMNS).map(|c| c..columns.end.min(c + TILE_COLUMNS));
    // A narrow last tile computes its last column again rather than need another kernel.
    let rows_of = |tile: &Range<usize>| -> [&[u8]; TILE_COLUMNS] {
        std::array::from_fn(|i| weight.row((tile.start + i).min(tile.end - 1)))
    };
    let depth = weight.columns();
    if rows < WIDEN_FROM {
        let mut unused = Lanes::default();
        for tile in tiles {
            let w = simd::Weights::Streamed(rows_of(&tile), weight.dtype());
            for (i, x) in x.chunks(TILE_ROWS * depth).enumerate() {
                let count = x.len() / depth;
                let input = simd::Input { x, count, stride: depth };
                let y = simd::tile(isa, input, w, &mut unused, true, true);
                store(TILE_ROWS * i, count, tile.clone(), y);
            }
        }
        return;
    }
    SCRATCH.with_borrow_mut(|scratch| {
        let depth_block = even_block(depth, DEPTH_BLOCK, scalar::LANES);
        let row_limit = ROW_BLOCK_BYTES / size_of::<f32>() / depth_block;
        let row_block = even_block(rows, row_limit.max(TILE_ROWS), TILE_ROWS);
        let wide = scratch.wide.resize(depth_block.next_multiple_of(16) * TILE_COLUMNS);
        scratch.lanes.resize_with(row_block / TILE_ROWS, Lanes::default);
        for first in (0..rows).step_by(row_block) {
            for tile in tiles.clone() {
                let w = rows_of(&tile);
                for k in (0..depth).step_by(depth_block) {
                    let ks = k..depth.min(k + depth_block);
                    let stride = ks.len().next_multiple_of(16);
                    let size = weight.dtype().size();
                    for (wide, w) in wide.chunks_mut(stride).zip(w) {
                        let w = &w[ks.start * size..ks.end * size];
                        simd::widen(isa, w, weight.dtype(), &mut wide[..ks.len()]);
                    }
                    let w = std::array::from_fn(|i| &wide[i * stride..][..ks.len()]);
                    let last = first + row_block.min(rows - first);
                    for (row, lanes) in (first..last).step_by(TILE_ROWS).zip(&mut scratch.lanes) {
                        let count = TILE_ROWS.min(last - row);
                        let x = &x[row * depth + k..(row + count - 1) * depth + ks.end];
                        let input = simd::Input { x, count, stride: depth };
                        let (begin, end) = (k == 0, ks.end == depth);
                        let y = simd::tile(isa, input, simd::Weights::Wide(w), lanes, begin, end);
                        if end {
                            store(row, count, tile.clone(), y);
                        }
                    }
                }
            }
        }
    });
}

/// `len` cut into the fewest blocks of at most `limit`, all about equal, each a multiple of `unit`.
fn even_block(len: usize, limit: usize, unit: usize) -> usize {
    len.div_ceil(len.div_ceil(limit)).next_multiple_of(unit)
}

#[inline]
fn finish(y: &mut [f32], column: usize, bias: Option<&[f32]>) {
    if let Some(bias) = bias {
        for (y, b) in y.iter_mut().zip(&bias[column..]) {
            *y += b;
        }
    }
}
