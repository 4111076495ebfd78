//! The eight small operations of a decoder step, and the one matrix product.
//!
//! # The matrix product
//! `y[rows][out] = x[rows][in] · W[out][in]ᵀ (+ bias)`, with `W` in f32, f16 or bf16 read from the
//! mapped file as it is. Every output element is **one dot product with one accumulation order**:
//! input `k` goes to lane `k % 8`, each lane sums its inputs in order, and the lanes are added as
//! `((0+1)+(2+3)) + ((4+5)+(6+7))`. Tiles, panels and threads only decide which weights and rows
//! share a load, never the order, so a row's result is bit-identical whatever rows stand beside
//! it and however many threads run: decode equals prefill, and a batch equals its sequences.
//!
//! That is why no general matrix library is used for many rows: it would split the sum by its
//! cache blocking and so by the number of rows. The cost is the horizontal sum of eight lanes per
//! output element, a few per cent at the widths of real models.
//!
//! # The rest
//! [`rms_norm`], [`Rotary`], [`silu_mul`], [`add`], [`Matrix::row_to_f32`] (embedding),
//! [`log_sum_exp`]. Each is elementwise or one row at a time, with fixed order, so the same holds.

mod elementwise;
mod matmul;
mod matrix;
mod norm;
mod rotary;
mod scalar;
mod simd;
#[cfg(test)]
mod tests;

pub use elementwise::{add, log_sum_exp, silu_mul};
pub use matmul::{Product, matmul};
pub use matrix::{Matrix, WeightType};
pub use norm::{rms_norm, rms_norm_heads};
pub use rotary::{Angles, Rotary};
