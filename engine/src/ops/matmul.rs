//! The driver of the matrix product: who computes which panel of which output.

use super::simd::{self, Isa};
use super::{Matrix, WeightType, scalar};
use crate::mem::{Aligned, Output, Panel, for_each_panel};
use std::cell::RefCell;

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
const WIDEN_FROM: usize = 4;
/// Bytes of `x` that are swept per widened panel: stays in L2 beside the weights.
const ROW_BLOCK_BYTES: usize = 256 << 10;

thread_local! {
    static WIDE: RefCell<Aligned> = const { RefCell::new(Aligned::new()) };
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
    let depth = weight.columns();
    let columns = || (panel.start..panel.end).step_by(scalar::TILE_COLUMNS);
    if rows < WIDEN_FROM || weight.dtype() == WeightType::F32 {
        for column in columns() {
            let width = scalar::TILE_COLUMNS.min(panel.end - column);
            // A narrow last tile computes its last column again rather than need another kernel.
            let w = std::array::from_fn(|i| weight.row(column + i.min(width - 1)));
            sweep(isa, x, depth, 0, w, weight.dtype(), |row, mut y| {
                finish(&mut y[..width], column, bias);
                panel.store(row, column, &y[..width]);
            });
        }
        return;
    }
    let block = (ROW_BLOCK_BYTES / (4 * depth.max(1))).max(12);
    WIDE.with_borrow_mut(|wide| {
        let stride = depth.next_multiple_of(16);
        let wide = wide.resize(stride * scalar::TILE_COLUMNS);
        for (first, x) in x.chunks(block * depth).enumerate() {
            for column in columns() {
                let width = scalar::TILE_COLUMNS.min(panel.end - column);
                for (i, wide) in wide.chunks_exact_mut(stride).enumerate() {
                    let row = weight.row(column + i.min(width - 1));
                    simd::widen(isa, row, weight.dtype(), &mut wide[..depth]);
                }
                let bytes = simd::as_bytes(wide);
                let w = std::array::from_fn(|i| &bytes[4 * i * stride..][..4 * depth]);
                sweep(isa, x, depth, first * block, w, WeightType::F32, |row, mut y| {
                    finish(&mut y[..width], column, bias);
                    panel.store(row, column, &y[..width]);
                });
            }
        }
    });
}

/// All rows of `x` against the four weight rows of one tile, three rows at a time.
#[inline]
fn sweep(
    isa: Isa,
    x: &[f32],
    depth: usize,
    first: usize,
    w: [&[u8]; scalar::TILE_COLUMNS],
    dtype: WeightType,
    mut store: impl FnMut(usize, [f32; scalar::TILE_COLUMNS]),
) {
    for (i, x) in x.chunks(3 * depth).enumerate() {
        let row = first + 3 * i;
        let y = simd::tile(isa, x, depth, w, dtype);
        for (j, y) in y.into_iter().enumerate().take(x.len() / depth) {
            store(row + j, y);
        }
    }
}

#[inline]
fn finish(y: &mut [f32], column: usize, bias: Option<&[f32]>) {
    if let Some(bias) = bias {
        for (y, b) in y.iter_mut().zip(&bias[column..]) {
            *y += b;
        }
    }
}
