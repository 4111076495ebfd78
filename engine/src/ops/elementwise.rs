//! Operations on one element, or one row of logits, at a time.

use super::simd;
use rayon::prelude::*;

/// Elements per task: several microseconds of work, so that sharing it out pays.
const TASK: usize = 1 << 14;

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

/// `gate = silu(gate) × up`, with `silu(g) = g / (1 + e^-g)`, on the ambient rayon pool where
/// there is enough of it.
///
/// # Panics
/// If the lengths differ.
pub fn silu_mul(gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len());
    let isa = simd::isa();
    if gate.len() < 2 * TASK || rayon::current_num_threads() == 1 {
        simd::silu_mul(isa, gate, up);
        return;
    }
    let tasks = gate.par_chunks_mut(TASK).zip(up.par_chunks(TASK));
    tasks.for_each(|(gate, up)| simd::silu_mul(isa, gate, up));
}

/// `ln Σ exp(x)` of one row of logits; subtract it from a logit to get its log-probability.
/// NaN if any logit is NaN or all are −∞.
#[must_use]
pub fn log_sum_exp(x: &[f32]) -> f64 {
    let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    f64::from(max) + simd::sum_exp(simd::isa(), x, max).ln()
}
