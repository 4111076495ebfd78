//! What a library of matrix products must do for linear layers, where one is used instead of our kernel.

use crate::Error;

/// One product on the device: `y[rows][stride] (+)= x[rows][depth] · weight[out][depth]ᵀ`, operands
/// bf16, sums f32.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "libraries come with the feature"))]
pub(super) struct Gemm {
    pub(super) weight: u64,
    pub(super) x: u64,
    pub(super) y: u64,
    pub(super) out: usize,
    pub(super) rows: usize,
    pub(super) depth: usize,
    pub(super) stride: usize,
    /// Add to what is in `y`.
    pub(super) accumulate: bool,
}

/// A library, working in the order of the backend's stream.
pub(super) trait Library: Send + Sync {
    /// Starts a product.
    fn multiply(&self, gemm: &Gemm) -> Result<(), Error>;
}
