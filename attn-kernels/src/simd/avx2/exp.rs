//! exp and tanh on eight lanes.

use std::arch::x86_64::*;

/// `exp(x)` for `x ≤ 0` and NaN, within 1.5 ulp; 0 below −87, where results would be subnormal.
///
/// # Safety
/// AVX2 and FMA.
#[inline(always)]
pub(super) unsafe fn exp(x: __m256) -> __m256 {
    // SAFETY: the caller's AVX2 and FMA.
    unsafe {
        let n = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(
            _mm256_mul_ps(x, _mm256_set1_ps(std::f32::consts::LOG2_E)),
        );
        // r = x − n ln 2, with ln 2 in two parts; |r| ≤ 0.35.
        let r = _mm256_fnmadd_ps(n, _mm256_set1_ps(f32::from_bits(0x3f31_7200)), x);
        let r = _mm256_fnmadd_ps(n, _mm256_set1_ps(f32::from_bits(0x35bf_be8e)), r);
        // The Taylor series to degree 7: its remainder is 6e-9 of the result.
        let mut p = _mm256_set1_ps(1.0 / 5040.0);
        for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5] {
            p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(c));
        }
        // 1 + (r + r² p): the small terms are summed first.
        let p = _mm256_fmadd_ps(_mm256_mul_ps(r, r), p, r);
        let p = _mm256_add_ps(p, _mm256_set1_ps(1.0));
        let exponent = _mm256_slli_epi32::<23>(_mm256_cvtps_epi32(n));
        let p = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), exponent));
        // Ordered: a NaN is not flushed.
        let tiny = _mm256_cmp_ps::<_CMP_LT_OQ>(x, _mm256_set1_ps(-87.0));
        _mm256_andnot_ps(tiny, p)
    }
}

/// `tanh(x)` within 2 ulp.
///
/// # Safety
/// AVX2 and FMA.
#[inline(always)]
pub(super) unsafe fn tanh(x: __m256) -> __m256 {
    // SAFETY: the caller's AVX2 and FMA.
    unsafe {
        let sign = _mm256_and_ps(x, _mm256_set1_ps(-0.0));
        let a = _mm256_andnot_ps(_mm256_set1_ps(-0.0), x);
        // Near 0: x + x³ P(x²), the polynomial of Cephes' tanhf.
        let z = _mm256_mul_ps(a, a);
        let mut p = _mm256_set1_ps(-5.704_988_7E-3);
        for c in [2.063_908_8E-2, -5.373_971_6E-2, 1.333_144_2E-1, -3.333_328E-1] {
            p = _mm256_fmadd_ps(p, z, _mm256_set1_ps(c));
        }
        let small = _mm256_fmadd_ps(_mm256_mul_ps(a, z), p, a);
        // Elsewhere: (1 − e) / (1 + e) with e = exp(−2|x|).
        let e = exp(_mm256_mul_ps(a, _mm256_set1_ps(-2.0)));
        let one = _mm256_set1_ps(1.0);
        let large = _mm256_div_ps(_mm256_sub_ps(one, e), _mm256_add_ps(one, e));
        let is_small = _mm256_cmp_ps::<_CMP_LT_OQ>(a, _mm256_set1_ps(0.625));
        _mm256_or_ps(_mm256_blendv_ps(large, small, is_small), sign)
    }
}

/// [`exp`] of one number, with the same bits.
///
/// # Safety
/// AVX2 and FMA.
#[inline(always)]
pub(super) unsafe fn exp1(x: f32) -> f32 {
    // SAFETY: the caller's AVX2 and FMA.
    unsafe { _mm256_cvtss_f32(exp(_mm256_set1_ps(x))) }
}
