//! Operations on one element, or one row of logits, at a time.

use super::simd;

/// `x += y`.
///
/// # Panics
/// If the lengths differ.
pub fn add(x: &mut [f32], y: &[f32]) {
    assert_eq!(x.len(), y.len());
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

/// `gate = silu(gate) × up`, with `silu(g) = g / (1 + e^-g)`.
///
/// # Panics
/// If the lengths differ.
pub fn silu_mul(gate: &mut [f32], up: &[f32]) {
    simd::silu_mul(simd::isa(), gate, up);
}

/// `ln Σ exp(x)` of one row of logits; subtract it from a logit to get its log-probability.
/// NaN if any logit is NaN or all are −∞.
#[must_use]
pub fn log_sum_exp(x: &[f32]) -> f64 {
    let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    f64::from(max) + simd::sum_exp(simd::isa(), x, max).ln()
}
