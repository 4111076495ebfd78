//! Whether this processor multiplies subnormal numbers slowly.

use std::arch::x86_64::*;
use std::hint::black_box;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Measured once, in well under a millisecond. What it says decides between two ways to the same
/// bits, so that it may be wrong.
pub(super) fn are_slow() -> bool {
    static SLOW: OnceLock<bool> = OnceLock::new();
    *SLOW.get_or_init(|| {
        // The shortest of a few: an interruption makes times longer only.
        let time = |x: f32| (0..7).map(|_| once(x)).min().unwrap_or_default();
        time(f32::from_bits(1 << 20)) > 4 * time(1.0)
    })
}

fn once(x: f32) -> Duration {
    let start = Instant::now();
    // SAFETY: this is reached from tables that exist only where AVX2 and FMA were detected.
    black_box(unsafe { multiply_adds(black_box(x)) });
    start.elapsed()
}

/// # Safety
/// AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
unsafe fn multiply_adds(x: f32) -> f32 {
    let (x, factor) = (_mm256_set1_ps(x), _mm256_set1_ps((1u64 << 60) as f32));
    let mut sums = [_mm256_setzero_ps(); 4];
    for _ in 0..64 {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(x, factor, *sum);
        }
    }
    let [a, b, c, d] = sums;
    _mm256_cvtss_f32(_mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d)))
}
