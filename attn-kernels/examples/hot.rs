//! temporary
use attn_kernels::*;
use fp8_format::ElementType::*;
use std::time::Instant;
fn main() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        for (h, kh, d) in [(32, 8, 128), (8, 8, 128), (9, 3, 64), (24, 8, 128)] {
            let sel = std::env::args().nth(1).unwrap_or_default();
            for st in [F8E4M3, F8E5M2, Int8, F16, Bf16, F32] {
                if !format!("{h}/{kh}x{d} {st}").contains(&sel) {
                    continue;
                }
                let cpu = CpuBackend::new();
                let n = 512;
                let sh = CacheShape::new(64, 16, kh, d, st, st);
                let mut c = cpu.new_cache(sh.clone()).unwrap();
                let x: Vec<f32> =
                    (0..n * kh * d).map(|i| ((i * 7919 % 1000) as f32 - 500.0) / 200.0).collect();
                let slots: Vec<i64> = (16..16 + n as i64).collect();
                let s = LayerScales::default();
                cpu.append(&mut c, &s, &x, &x, &slots).unwrap();
                let mut b = Batch::new();
                b.push(1, n, 1..33);
                let p = cpu.plan(&sh, &AttentionShape::new(h, 0.08), &b).unwrap();
                let q: Vec<f32> = (0..h * d).map(|i| (i % 13) as f32 - 6.0).collect();
                let mut o = vec![0.0; h * d];
                let mut best = 1e9f64;
                for _ in 0..600 {
                    let t = Instant::now();
                    for _ in 0..5 {
                        cpu.attention(&p, &c, &s, &q, &mut o, None).unwrap();
                    }
                    best = best.min(t.elapsed().as_secs_f64() / 5.0);
                }
                println!(
                    "{h}/{kh}x{d} {st}: {:.1} us, {:.1} ns per token-head, {:.1} GFLOP/s",
                    best * 1e6,
                    best * 1e9 / (n * kh) as f64,
                    (4 * h * d * n) as f64 / best / 1e9
                );
            }
        }
    });
}
