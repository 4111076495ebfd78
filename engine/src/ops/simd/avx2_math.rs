//! `exp` and what is built on it, for AVX2: within 2 ulp of the exact value, and the same for an
//! element wherever it stands in its slice.

use std::arch::x86_64::*;

const LANES: usize = 8;

/// `e^x` for `x <= 88.02`: beyond that the result saturates near the top of the range; below
/// −87.33 it is flushed to a number under 2^-125; NaN stays NaN.
///
/// `x = n ln 2 + r` with `|r| <= ln 2 / 2`, `ln 2` in two parts (Cody and Waite), and the Taylor
/// polynomial of degree 7, whose remainder on that interval is below 6e-9 of the result.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn exp(x: __m256) -> __m256 {
    let set = |v: f32| _mm256_set1_ps(v);
    // The second operand of min and max is what a NaN in the first would be replaced by, so the
    // bound stands first and NaN goes through.
    let x = _mm256_max_ps(set(-87.33), _mm256_min_ps(set(88.02), x));
    let n = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(_mm256_mul_ps(
        x,
        set(std::f32::consts::LOG2_E),
    ));
    let r = _mm256_fnmadd_ps(n, set(0.693_359_4), x);
    let r = _mm256_fnmadd_ps(n, set(-2.121_944_4e-4), r);
    let mut p = set(1.0 / 5040.0);
    for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = _mm256_fmadd_ps(p, r, set(c));
    }
    // n lies in -126..=127: its sum with the bias is a normal exponent.
    let bits =
        _mm256_slli_epi32::<23>(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)));
    _mm256_mul_ps(p, _mm256_castsi256_ps(bits))
}

/// # Safety
/// AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn silu_mul(gate: &mut [f32], up: &[f32]) {
    let mut gate = gate.chunks_exact_mut(LANES);
    let mut up = up.chunks_exact(LANES);
    for (g, u) in gate.by_ref().zip(up.by_ref()) {
        silu_mul_eight(g, u);
    }
    let (gate, up) = (gate.into_remainder(), up.remainder());
    let (mut g, mut u) = ([0.0; LANES], [0.0; LANES]);
    g[..gate.len()].copy_from_slice(gate);
    u[..up.len()].copy_from_slice(up);
    silu_mul_eight(&mut g, &u);
    gate.copy_from_slice(&g[..gate.len()]);
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn silu_mul_eight(gate: &mut [f32], up: &[f32]) {
    assert!(gate.len() == LANES && up.len() == LANES);
    // SAFETY: eight f32 in each, as asserted.
    unsafe {
        let g = _mm256_loadu_ps(gate.as_ptr());
        let e = exp(_mm256_xor_ps(g, _mm256_set1_ps(-0.0)));
        // `exp` saturates, so a huge negative gate must too, or their quotient would not vanish.
        let g = _mm256_max_ps(_mm256_set1_ps(-88.0), g);
        let y = _mm256_div_ps(g, _mm256_add_ps(_mm256_set1_ps(1.0), e));
        _mm256_storeu_ps(gate.as_mut_ptr(), _mm256_mul_ps(y, _mm256_loadu_ps(up.as_ptr())));
    }
}

/// # Safety
/// AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn sum_exp(x: &[f32], max: f32) -> f64 {
    let mut sum = [_mm256_setzero_pd(); 2];
    let max8 = _mm256_set1_ps(max);
    let chunks = x.chunks_exact(LANES);
    let rest = chunks.remainder();
    for x in chunks {
        // SAFETY: eight f32.
        let e = exp(_mm256_sub_ps(unsafe { _mm256_loadu_ps(x.as_ptr()) }, max8));
        sum[0] = _mm256_add_pd(sum[0], _mm256_cvtps_pd(_mm256_castps256_ps128(e)));
        sum[1] = _mm256_add_pd(sum[1], _mm256_cvtps_pd(_mm256_extractf128_ps::<1>(e)));
    }
    let mut lane = [0.0f64; 4];
    // SAFETY: four f64.
    unsafe { _mm256_storeu_pd(lane.as_mut_ptr(), _mm256_add_pd(sum[0], sum[1])) };
    let rest: f64 = rest.iter().map(|x| f64::from((x - max).exp())).sum();
    (lane[0] + lane[1]) + (lane[2] + lane[3]) + rest
}
