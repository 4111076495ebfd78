//! Vector kernels, chosen once: the scalar code beside each is its specification.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx2_math;

use super::WeightType;
use super::scalar::{Lanes, Sums, TILE_COLUMNS, TILE_ROWS};
use std::sync::OnceLock;

/// What this machine can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Isa {
    Scalar,
    /// AVX2, FMA and F16C, which every x86 core since 2013 has together.
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

/// Detected at the first call.
pub(super) fn isa() -> Isa {
    static ISA: OnceLock<Isa> = OnceLock::new();
    *ISA.get_or_init(detect)
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Isa {
    let has = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c");
    if has { Isa::Avx2 } else { Isa::Scalar }
}

#[cfg(not(target_arch = "x86_64"))]
fn detect() -> Isa {
    Isa::Scalar
}

/// One to three rows of inputs, `stride` apart.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    pub(super) x: &'a [f32],
    pub(super) count: usize,
    pub(super) stride: usize,
}

/// Four rows of weights.
#[derive(Clone, Copy)]
pub(super) enum Weights<'a> {
    /// As they lie in the file, one behind the other: read once, so fetched ahead.
    Streamed([&'a [u8]; TILE_COLUMNS], WeightType),
    /// Widened into L1.
    Wide([&'a [f32]; TILE_COLUMNS]),
}

/// One tile over one block of depth: starts from zero if `begin`, else from `lanes`; sums the
/// lanes if `end` (rows beyond `count` are unspecified), else leaves them in `lanes`.
#[inline]
pub(super) fn tile(
    isa: Isa,
    input: Input<'_>,
    weights: Weights<'_>,
    lanes: &mut Lanes,
    begin: bool,
    end: bool,
) -> Sums {
    let depth = match weights {
        Weights::Streamed(w, dtype) => {
            let depth = w[0].len() / dtype.size();
            assert!(w.iter().all(|w| w.len() == depth * dtype.size()));
            depth
        }
        Weights::Wide(w) => {
            assert!(w.iter().all(|row| row.len() == w[0].len()));
            w[0].len()
        }
    };
    let Input { x, count, stride } = input;
    assert!(matches!(count, 1..=TILE_ROWS) && x.len() >= (count - 1) * stride + depth);
    match isa {
        Isa::Scalar => unreachable!("the scalar product has no tiles"),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Avx2` is only made where the features were detected; every weight row holds
        // `depth` elements, and so does every row of `x` at its stride, as asserted above.
        Isa::Avx2 => unsafe { avx2::tile(input, depth, weights, lanes, begin, end) },
    }
}

/// [`WeightType::to_f32`], vectorised.
#[inline]
pub(super) fn widen(isa: Isa, bytes: &[u8], dtype: WeightType, out: &mut [f32]) {
    assert_eq!(bytes.len(), out.len() * dtype.size());
    match isa {
        Isa::Scalar => dtype.to_f32(bytes, out),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the features were detected; the lengths agree, as asserted above.
        Isa::Avx2 => unsafe { avx2::widen(bytes, dtype, out) },
    }
}

/// `gate = silu(gate) × up`.
pub(super) fn silu_mul(isa: Isa, gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len());
    match isa {
        Isa::Scalar => {
            for (g, u) in gate.iter_mut().zip(up) {
                *g = *g / (1.0 + (-*g).exp()) * u;
            }
        }
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the features were detected; the lengths agree, as asserted above.
        Isa::Avx2 => unsafe { avx2_math::silu_mul(gate, up) },
    }
}

/// `Σ exp(x − max)`, in eight f64 lanes.
pub(super) fn sum_exp(isa: Isa, x: &[f32], max: f32) -> f64 {
    match isa {
        Isa::Scalar => x.iter().map(|x| f64::from((x - max).exp())).sum(),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the features were detected.
        Isa::Avx2 => unsafe { avx2_math::sum_exp(x, max) },
    }
}
