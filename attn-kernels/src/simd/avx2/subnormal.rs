//! Whether subnormal numbers are slow to multiply here, or taken for 0.

use std::arch::x86_64::*;
use std::hint::black_box;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Whether bits of subnormal codes are better not left subnormal in an f32.
///
/// Asked at the beginning of a call on the thread that makes it. The threads of a pool inherit what
/// they do with subnormals from the thread that starts them: one that sets "denormals are zero" for
/// itself afterwards, while the caller does not, reads subnormal codes as 0.
pub(super) fn are_minded() -> bool {
    // In this order: where they are taken for 0 they are not slow, which says nothing of others.
    are_flushed() || are_slow()
}

/// Whether this thread takes them for 0. A process that Rust code is only a part of may ask its
/// processor for that (MXCSR.DAZ), for all of its threads.
fn are_flushed() -> bool {
    black_box(f32::from_bits(1 << 20)) * black_box((1u64 << 60) as f32) == 0.0
}

/// Measured once, in well under a millisecond. Where subnormals are not taken for 0, what it says
/// decides between two ways to the same bits, so that it may be wrong.
fn are_slow() -> bool {
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
