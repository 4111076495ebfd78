//! What the machine could do at best: multiply-adds in registers, and reading memory in a line.

/// Billions of f32 operations per second of one thread, a multiply-add being two.
pub(crate) fn fma_peak() -> f64 {
    let run = |n: usize| {
        let start = std::time::Instant::now();
        std::hint::black_box(multiply_adds(n));
        start.elapsed().as_secs_f64()
    };
    let n = 4_000_000;
    let best = (0..7).map(|_| run(n)).fold(f64::INFINITY, f64::min);
    flops(n) / best / 1e9
}

/// Reads all of it; the value only keeps the reads from being left out.
pub(crate) fn read(bytes: &[u8]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: AVX2 was detected.
        return unsafe { x86::read(bytes) };
    }
    let words = bytes.as_chunks::<8>().0;
    words.iter().fold(0, |sum, w| sum ^ u64::from_ne_bytes(*w))
}

fn flops(n: usize) -> f64 {
    (n * 12 * 16) as f64
}

/// `n` rounds of 12 × 8 multiply-adds, or 12 × 8 times two operations where the machine has none.
fn multiply_adds(n: usize) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: AVX2 and FMA were detected.
        return unsafe { x86::multiply_adds(n) };
    }
    let mut sums = [0.0f32; 96];
    let a = std::hint::black_box(0.999f32);
    for _ in 0..n {
        for s in &mut sums {
            *s = *s * a + a;
        }
    }
    sums.iter().sum()
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! The same with AVX2.

    use std::arch::x86_64::*;

    /// # Safety
    /// AVX2 and FMA.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn multiply_adds(n: usize) -> f32 {
        let a = _mm256_set1_ps(std::hint::black_box(0.999));
        let mut sums = [_mm256_setzero_ps(); 12];
        for _ in 0..n {
            for s in &mut sums {
                *s = _mm256_fmadd_ps(*s, a, a);
            }
        }
        let sum = sums.into_iter().fold(_mm256_setzero_ps(), |x, y| _mm256_add_ps(x, y));
        _mm256_cvtss_f32(sum)
    }

    /// # Safety
    /// AVX2.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn read(bytes: &[u8]) -> u64 {
        let mut sums = [_mm256_setzero_si256(); 8];
        for line in bytes.as_chunks::<256>().0 {
            for (i, s) in sums.iter_mut().enumerate() {
                // SAFETY: 32 bytes at 32 i are inside the 256.
                let x = unsafe { _mm256_loadu_si256(line.as_ptr().add(32 * i).cast()) };
                *s = _mm256_xor_si256(*s, x);
            }
        }
        let sum = sums.into_iter().fold(_mm256_setzero_si256(), |x, y| _mm256_xor_si256(x, y));
        _mm256_extract_epi64::<0>(sum).cast_unsigned()
    }
}
