//! The specification of the matrix product's tile, in plain Rust.

use super::WeightType;

/// Lanes of an accumulator: input `k` is summed in lane `k % LANES`.
pub(super) const LANES: usize = 8;
/// Output columns of a tile.
pub(super) const TILE_COLUMNS: usize = 4;
/// Rows of `x` of a tile.
pub(super) const TILE_ROWS: usize = 3;

/// The lanes of a tile's accumulators, between two blocks of its depth.
#[derive(Clone, Default)]
#[repr(align(32))]
pub(super) struct Lanes(pub(super) [[[f32; LANES]; TILE_COLUMNS]; TILE_ROWS]);

/// A finished tile.
pub(super) type Sums = [[f32; TILE_COLUMNS]; TILE_ROWS];

/// Adds the lanes in the one order every implementation keeps.
pub(super) fn sum_lanes(lane: [f32; LANES]) -> f32 {
    ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]))
}

/// One row of `x` times one row of weights.
///
/// Multiplies and adds with two roundings; the vector tiles fuse them into one, which differs by
/// no more than `2^-24 × Σ|x w|` per step of a lane.
pub(super) fn dot(x: &[f32], weights: &[u8], dtype: WeightType) -> f32 {
    let mut lane = [0.0; LANES];
    let mut wide = [0.0; LANES];
    for (x, w) in x.chunks(LANES).zip(weights.chunks(LANES * dtype.size())) {
        dtype.to_f32(w, &mut wide[..x.len()]);
        for ((sum, x), w) in lane.iter_mut().zip(x).zip(&wide) {
            *sum += x * w;
        }
    }
    sum_lanes(lane)
}
