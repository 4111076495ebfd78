//! Vector kernels, chosen once: the scalar code beside each is its specification.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx2_math;

use super::{WeightType, scalar};
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

/// Up to three rows of `x` against four rows of weights; rows beyond those of `x` are unspecified.
#[inline]
pub(super) fn tile(
    isa: Isa,
    x: &[f32],
    depth: usize,
    w: [&[u8]; scalar::TILE_COLUMNS],
    dtype: WeightType,
) -> [[f32; scalar::TILE_COLUMNS]; 3] {
    let rows = x.len() / depth;
    assert!(matches!(rows, 1..=3) && x.len() == rows * depth, "one to three whole rows");
    assert!(w.iter().all(|w| w.len() == depth * dtype.size()), "weight rows of the same depth");
    match isa {
        Isa::Scalar => {
            let mut y = [[0.0; scalar::TILE_COLUMNS]; 3];
            for (x, y) in x.chunks_exact(depth).zip(&mut y) {
                *y = w.map(|w| scalar::dot(x, w, dtype));
            }
            y
        }
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Avx2` is only made where the features were detected; every slice holds `depth`
        // elements per row, as asserted above.
        Isa::Avx2 => unsafe { avx2::tile(x, rows, depth, w, dtype) },
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

/// The bytes of a widened panel.
pub(super) fn as_bytes(x: &[f32]) -> &[u8] {
    // SAFETY: every byte of an f32 is initialised, and a byte needs no alignment.
    unsafe { std::slice::from_raw_parts(x.as_ptr().cast(), size_of_val(x)) }
}
