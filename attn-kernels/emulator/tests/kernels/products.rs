//! Tiled matrix products: on tensor cores with cp.async, and the plain way.

use half::f16;

use super::built::{ALL, each};
use crate::common::launch::{Arg, download, launch, uninit, upload};
use crate::common::values::Random;

#[test]
fn tensor_cores() {
    each("gemm", &ALL, |device, module| {
        // Whole tiles, and tiles that stick out on every side (16-byte copies ask for multiples of 8).
        for (m, n, k) in [(64u32, 64u32, 32u32), (128, 64, 96), (72, 88, 40), (16, 8, 200)] {
            let mut random = Random(u64::from(m * n * k));
            let mut matrix =
                |len: u32| -> Vec<f16> { (0..len).map(|_| f16::from_f32(random.unit())).collect() };
            let (a, b) = (matrix(m * k), matrix(k * n));
            let bits = |x: &[f16]| x.iter().map(|x| x.to_bits()).collect::<Vec<u16>>();
            let c = uninit::<f32>(device, "c", (m * n) as usize);
            let args = [
                Arg::Ptr(c),
                Arg::Ptr(upload(device, "a", &bits(&a))),
                Arg::Ptr(upload(device, "b", &bits(&b))),
                Arg::U32(m),
                Arg::U32(n),
                Arg::U32(k),
            ];
            let grid = [n.div_ceil(64), m.div_ceil(64), 1];
            let report = launch(device, module, "gemm_f16", grid, [128, 1, 1], 0, &args)
                .unwrap_or_else(|error| panic!("{m}×{n}×{k}: {error}"));
            let got = download::<f32>(device, c, (m * n) as usize);
            for row in 0..m as usize {
                for col in 0..n as usize {
                    let want: f64 = (0..k as usize)
                        .map(|i| {
                            a[row * k as usize + i].to_f64() * b[i * n as usize + col].to_f64()
                        })
                        .sum();
                    let value = f64::from(got[row * n as usize + col]);
                    assert!(
                        (value - want).abs() < 2e-5,
                        "{m}×{n}×{k} at {row},{col}: {value} {want}"
                    );
                }
            }
            // Per tile of K: 4 warps, 2 steps, 2 × 4 products of 16·8·16.
            let tiles = u64::from(grid[0] * grid[1] * k.div_ceil(32));
            assert_eq!(report.counters.mma, tiles * 4 * 2 * 8);
            assert_eq!(report.counters.mma_macs, tiles * 4 * 2 * 8 * 16 * 8 * 16);
            assert_eq!(report.counters.shared_load.conflicts, 0, "padded rows");
        }
    });
}

/// The order of the sums is the program's, so the bits are those of the same loop in Rust.
#[test]
fn plain_tiles() {
    each("gemm", &ALL, |device, module| {
        let (m, n, k) = (35u32, 50u32, 41u32);
        let mut random = Random(77);
        let mut matrix = |len: u32| -> Vec<f32> { (0..len).map(|_| random.unit()).collect() };
        let (a, b) = (matrix(m * k), matrix(k * n));
        let c = uninit::<f32>(device, "c", (m * n) as usize);
        let args = [
            Arg::Ptr(c),
            Arg::Ptr(upload(device, "a", &a)),
            Arg::Ptr(upload(device, "b", &b)),
            Arg::U32(m),
            Arg::U32(n),
            Arg::U32(k),
        ];
        let grid = [n.div_ceil(16), m.div_ceil(16), 1];
        launch(device, module, "gemm_f32", grid, [16, 16, 1], 0, &args).expect("a clean run");
        let got = download::<f32>(device, c, (m * n) as usize);
        for row in 0..m as usize {
            for col in 0..n as usize {
                let term = |sum: f32, i: usize| {
                    a[row * k as usize + i].mul_add(b[i * n as usize + col], sum)
                };
                let want = (0..k as usize).fold(0.0, term);
                assert_eq!(got[row * n as usize + col], want, "{row},{col}");
            }
        }
    });
}
