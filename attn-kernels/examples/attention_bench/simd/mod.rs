//! What the machine could do at best: multiply-adds in registers, and reading memory in a line.

/// Billions of f32 operations per second of one thread, a multiply-add being two, with the vectors
/// of an instruction set that the kernels use.
pub(crate) fn fma_peak(isa: &str) -> f64 {
    let run = |n: usize| {
        let start = std::time::Instant::now();
        let operations = multiply_adds(isa, n);
        operations / start.elapsed().as_secs_f64() / 1e9
    };
    (0..7).map(|_| run(4_000_000)).fold(0.0, f64::max)
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

/// `n` rounds of 12 vectors' multiply-adds; where there are none, of 12 × 8 times two operations.
/// Returns how many operations that were.
fn multiply_adds(isa: &str, n: usize) -> f64 {
    #[cfg(target_arch = "x86_64")]
    if isa == "avx512" && is_x86_feature_detected!("avx512f") {
        // SAFETY: AVX-512 was detected.
        std::hint::black_box(unsafe { x86::multiply_adds_512(n) });
        return (n * 12 * 32) as f64;
    }
    #[cfg(target_arch = "x86_64")]
    if isa == "avx2" && is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: AVX2 and FMA were detected.
        std::hint::black_box(unsafe { x86::multiply_adds(n) });
        return (n * 12 * 16) as f64;
    }
    let mut sums = [0.0f32; 96];
    let a = std::hint::black_box(0.999f32);
    for _ in 0..n {
        for s in &mut sums {
            *s = *s * a + a;
        }
    }
    std::hint::black_box(sums);
    (n * 12 * 16) as f64
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! The same with AVX2 and AVX-512.

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
    /// AVX-512 F.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn multiply_adds_512(n: usize) -> f32 {
        let a = _mm512_set1_ps(std::hint::black_box(0.999));
        let mut sums = [_mm512_setzero_ps(); 12];
        for _ in 0..n {
            for s in &mut sums {
                *s = _mm512_fmadd_ps(*s, a, a);
            }
        }
        let sum = sums.into_iter().fold(_mm512_setzero_ps(), |x, y| _mm512_add_ps(x, y));
        _mm512_cvtss_f32(sum)
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
