//! RMSNorm, over a row of the residual stream or over each head.

const LANES: usize = 8;

/// `y = x / sqrt(mean(x²) + eps) × weight` for each row of `weight.len()`.
///
/// # Panics
/// If `x` and `y` are not the same number of whole rows.
pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32, y: &mut [f32]) {
    assert!(x.len() == y.len() && x.len().is_multiple_of(weight.len()), "whole rows");
    for (x, y) in x.chunks_exact(weight.len()).zip(y.chunks_exact_mut(weight.len())) {
        let scale = inverse_rms(x, eps);
        for ((y, x), w) in y.iter_mut().zip(x).zip(weight) {
            *y = x * scale * w;
        }
    }
}

/// [`rms_norm`] in place, over each head of `weight.len()`: the norm of q and k in Qwen3.
///
/// # Panics
/// If `x` is not whole heads.
pub fn rms_norm_heads(x: &mut [f32], weight: &[f32], eps: f32) {
    assert!(x.len().is_multiple_of(weight.len()), "whole heads");
    for x in x.chunks_exact_mut(weight.len()) {
        let scale = inverse_rms(x, eps);
        for (x, w) in x.iter_mut().zip(weight) {
            *x = *x * scale * w;
        }
    }
}

/// Squares are summed in eight lanes, so the order is fixed and the error that of short sums.
fn inverse_rms(x: &[f32], eps: f32) -> f32 {
    let mut lane = [0.0f32; LANES];
    for x in x.chunks(LANES) {
        for (sum, x) in lane.iter_mut().zip(x) {
            *sum += x * x;
        }
    }
    1.0 / (super::scalar::sum_lanes(lane) / x.len() as f32 + eps).sqrt()
}
