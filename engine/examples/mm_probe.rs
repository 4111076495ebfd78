//! probe
use engine::ops::*;
use std::time::Duration;
struct Instant(f64);
fn cpu() -> f64 {
    #[repr(C)]
    struct T(i64, i64);
    unsafe extern "C" {
        fn clock_gettime(c: i32, t: *mut T) -> i32;
    }
    let mut t = T(0, 0);
    unsafe { clock_gettime(3, &mut t) };
    t.0 as f64 + t.1 as f64 * 1e-9
}
impl Instant {
    fn now() -> Self {
        Self(cpu())
    }
    fn elapsed(&self) -> Duration {
        Duration::from_secs_f64(cpu() - self.0)
    }
}
fn main() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        // FMA peak
        let pk = {
            let mut best = 0f64;
            for _ in 0..5 {
                best = best.max(unsafe { peak() });
            }
            best
        };
        println!("fma peak {pk:.1} GFLOP/s");
        // read bandwidth
        let big = std::hint::black_box(vec![0x3cu8; 256 << 20]);
        let mut bw = 0f64;
        for _ in 0..5 {
            let t = Instant::now();
            let s = unsafe { sum(std::hint::black_box(&big)) };
            std::hint::black_box(s);
            bw = bw.max(big.len() as f64 / t.elapsed().as_secs_f64() / 1e9);
        }
        println!("read {bw:.1} GB/s");
        for (dt, name) in [(WeightType::Bf16, "bf16"), (WeightType::F32, "f32")] {
            // decode: distinct matrices covering 128 MB
            for (out, inn) in [(576usize, 576usize), (1536, 576), (576, 1536), (4096, 4096)] {
                let bytes = out * inn * dt.size();
                let n = (200usize << 20).div_ceil(bytes).min((big.len()) / bytes);
                let x = vec![0.5f32; inn * 256 + 16];
                let off = (x.as_ptr() as usize).wrapping_neg() / 4 % 16;
                let x = &x[off..];
                let mut y = vec![0f32; out * 256];
                let mut line = format!("{name} {out}x{inn}:");
                for rows in [1usize, 2, 3, 4, 8, 16, 32, 128, 256] {
                    let reps = if rows > 4 { (n * 4 / rows).clamp(1, n) } else { n };
                    let mut best = f64::MAX;
                    for _ in 0..3 {
                        let t = Instant::now();
                        for i in 0..reps {
                            let w = Matrix::new(&big[i * bytes..][..bytes], dt, out, inn);
                            matmul(
                                &x[..rows * inn],
                                rows,
                                [Product { weight: w, bias: None, out: &mut y[..rows * out] }],
                            );
                        }
                        best = best.min(t.elapsed().as_secs_f64() / reps as f64);
                    }
                    if rows <= 8 {
                        line += &format!(" r{rows} {:.1}GB/s", bytes as f64 / best / 1e9);
                    }
                    if rows >= 8 {
                        line += &format!(
                            " r{rows} {:.1}GF",
                            2.0 * (rows * out * inn) as f64 / best / 1e9
                        );
                    }
                }
                println!("{line} (peak {:.1})", unsafe { peak() });
            }
        }
    });
}
#[target_feature(enable = "avx2,fma")]
unsafe fn peak() -> f64 {
    use std::arch::x86_64::*;
    let a = std::hint::black_box(_mm256_set1_ps(1.0000001));
    let b = std::hint::black_box(_mm256_set1_ps(1e-9));
    let mut acc = [_mm256_setzero_ps(); 12];
    let n = 5_000_000u64;
    let t = Instant::now();
    for _ in 0..n {
        for acc in &mut acc {
            *acc = _mm256_fmadd_ps(*acc, a, b);
        }
    }
    let s = t.elapsed().as_secs_f64();
    let mut f = [0f32; 8];
    for v in acc {
        unsafe { _mm256_storeu_ps(f.as_mut_ptr(), v) };
        std::hint::black_box(&f);
    }
    (n * 12 * 16) as f64 / s / 1e9
}
#[target_feature(enable = "avx2,fma")]
unsafe fn sum(b: &[u8]) -> u8 {
    use std::arch::x86_64::*;
    let mut acc = [_mm256_setzero_si256(); 8];
    for c in b.chunks_exact(256) {
        for i in 0..8 {
            acc[i] = _mm256_or_si256(acc[i], unsafe {
                _mm256_loadu_si256(c.as_ptr().add(i * 32).cast())
            });
        }
    }
    let mut f = [0u8; 32];
    let mut r = 0;
    for v in acc {
        unsafe { _mm256_storeu_si256(f.as_mut_ptr().cast(), v) };
        r |= f[3];
    }
    r
}
