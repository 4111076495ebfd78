//! Reductions, prefix sums, softmax, transposes, histograms, bulk streams.

use cuda_emulator::{Device, LaunchReport, Module};
use half::f16;

use super::built::{ALL, BULK, each};
use crate::common::launch::{Arg, download, launch, uninit, upload};
use crate::common::values::Random;

/// A launch along x that may not fail.
fn run(
    device: &Device,
    module: &Module,
    kernel: &str,
    (ctas, threads): (u32, u32),
    shared: u32,
    args: &[Arg],
) -> LaunchReport {
    launch(device, module, kernel, [ctas, 1, 1], [threads, 1, 1], shared, args)
        .unwrap_or_else(|error| panic!("{kernel}: {error}"))
}

#[test]
fn sums() {
    each("reduce", &ALL, |device, module| {
        for n in [1u32, 31, 256, 1000, 5003] {
            let mut random = Random(u64::from(n));
            let x: Vec<f32> = (0..n).map(|_| random.unit()).collect();
            let out = uninit::<f32>(device, "out", 3);
            let input = upload(device, "x", &x);
            run(
                device,
                module,
                "sum_f32",
                (3, 256),
                0,
                &[Arg::Ptr(out), Arg::Ptr(input), Arg::U32(n)],
            );
            let got: f64 = download::<f32>(device, out, 3).iter().map(|&x| f64::from(x)).sum();
            let want: f64 = x.iter().map(|&x| f64::from(x)).sum();
            assert!((got - want).abs() < 1e-5 * f64::from(n).sqrt(), "{n}: {got} {want}");
        }
    });
}

#[test]
fn extrema() {
    each("reduce", &ALL, |device, module| {
        for n in [1u32, 100, 128, 1000] {
            let mut random = Random(u64::from(n));
            let x: Vec<i32> = (0..n).map(|_| random.next() as i32).collect();
            let out = upload(device, "out", &[i32::MAX, i32::MIN, 0, 0]);
            let input = upload(device, "x", &x);
            let args = [Arg::Ptr(out), Arg::Ptr(input), Arg::U32(n)];
            run(device, module, "extrema_s32", (n.div_ceil(128), 128), 0, &args);
            let even = x.iter().filter(|x| *x & 1 == 0).count() as i32;
            let want = [
                *x.iter().min().expect("some"),
                *x.iter().max().expect("some"),
                x.iter().fold(0, |a, b| a ^ b),
                even,
            ];
            assert_eq!(download::<i32>(device, out, 4), want, "{n}");
        }
    });
}

/// The last CTA adds what the others left in global memory; the order is fixed, so the bits are.
#[test]
fn dot_product_of_the_last_cta() {
    each("reduce", &ALL, |device, module| {
        let n = 1500;
        let mut random = Random(4);
        let mut vector = || -> Vec<f64> { (0..n).map(|_| f64::from(random.unit())).collect() };
        let (a, b) = (vector(), vector());
        let out = uninit::<f64>(device, "out", 1);
        let parts = uninit::<f64>(device, "parts", 5);
        let ticket = upload(device, "ticket", &[0u32]);
        let args = [
            Arg::Ptr(out),
            Arg::Ptr(parts),
            Arg::Ptr(ticket),
            Arg::Ptr(upload(device, "a", &a)),
            Arg::Ptr(upload(device, "b", &b)),
            Arg::U32(n),
        ];
        run(device, module, "dot_f64", (5, 64), 0, &args);
        // The same sums in the same order.
        let part = |cta: usize| {
            let mut cells: Vec<f64> = (0..64)
                .map(|t| {
                    let own = (cta * 64 + t..n as usize).step_by(5 * 64);
                    own.fold(0.0, |sum, i| a[i].mul_add(b[i], sum))
                })
                .collect();
            let mut half = 32;
            while half > 0 {
                (0..half).for_each(|i| cells[i] += cells[i + half]);
                half /= 2;
            }
            cells[0]
        };
        let want = (0..5).map(part).fold(0.0, |sum, x| sum + x);
        assert_eq!(download::<f64>(device, out, 1), [want]);
        assert_eq!(download::<u32>(device, ticket, 1), [0], "the ticket wraps");
    });
}

#[test]
fn prefix_sums() {
    each("scan", &ALL, |device, module| {
        for (n, threads) in [(1u32, 32), (100, 32), (1000, 128), (2049, 256)] {
            let mut random = Random(u64::from(n));
            let x: Vec<u32> = (0..n).map(|_| random.next() as u32).collect();
            let blocks = n.div_ceil(threads);
            let out = uninit::<u32>(device, "out", n as usize);
            let sums = uninit::<u32>(device, "sums", blocks as usize);
            let offsets = uninit::<u32>(device, "offsets", blocks as usize);
            let input = upload(device, "x", &x);
            let shared = threads / 32 * 4;
            let null = Arg::Ptr(cuda_emulator::DevicePtr(0));
            let first = [Arg::Ptr(out), Arg::Ptr(sums), Arg::Ptr(input), Arg::U32(n)];
            run(device, module, "scan_blocks", (blocks, threads), shared, &first);
            let top = blocks.next_multiple_of(32);
            let second = [Arg::Ptr(offsets), null, Arg::Ptr(sums), Arg::U32(blocks)];
            run(device, module, "scan_blocks", (1, top), top / 32 * 4, &second);
            let third = [Arg::Ptr(out), Arg::Ptr(offsets), Arg::U32(n)];
            run(device, module, "add_offsets", (blocks, threads), 0, &third);
            let mut sum = 0u32;
            let want: Vec<u32> = x
                .iter()
                .map(|&x| {
                    sum = sum.wrapping_add(x);
                    sum.wrapping_sub(x)
                })
                .collect();
            assert_eq!(download::<u32>(device, out, n as usize), want, "{n}");
        }
    });
}

fn softmax(x: &[f64]) -> Vec<f64> {
    let m = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = x.iter().map(|x| (x - m).exp()).sum();
    x.iter().map(|x| (x - m).exp() / sum).collect()
}

#[test]
fn softmax_of_rows() {
    each("softmax", &ALL, |device, module| {
        for (rows, columns) in [(1u32, 7u32), (5, 33), (9, 256)] {
            let mut random = Random(u64::from(columns));
            let x: Vec<f32> = (0..rows * columns).map(|_| random.unit() * 12.0).collect();
            let out = uninit::<f32>(device, "out", x.len());
            let input = upload(device, "x", &x);
            let args = [Arg::Ptr(out), Arg::Ptr(input), Arg::U32(rows), Arg::U32(columns)];
            run(device, module, "softmax_warp", (rows.div_ceil(4), 128), 0, &args);
            let got = download::<f32>(device, out, x.len());
            for (x, got) in x.chunks(columns as usize).zip(got.chunks(columns as usize)) {
                let x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
                for (want, &got) in softmax(&x).iter().zip(got) {
                    let error = (f64::from(got) - want).abs();
                    assert!(error < 4e-6 * want + 1e-12, "{want} {got}");
                }
            }
        }
    });
}

#[test]
fn softmax_of_halves() {
    each("softmax", &ALL, |device, module| {
        let (rows, columns) = (3u32, 520u32);
        let mut random = Random(8);
        let x: Vec<f16> = (0..rows * columns).map(|_| f16::from_f32(random.unit() * 9.0)).collect();
        let bits: Vec<u16> = x.iter().map(|x| x.to_bits()).collect();
        let out = uninit::<u16>(device, "out", x.len());
        let args = [Arg::Ptr(out), Arg::Ptr(upload(device, "x", &bits)), Arg::U32(columns)];
        run(device, module, "softmax_block_f16", (rows, 256), 0, &args);
        let got = download::<u16>(device, out, x.len());
        for (x, got) in x.chunks(columns as usize).zip(got.chunks(columns as usize)) {
            let x: Vec<f64> = x.iter().map(|x| x.to_f64()).collect();
            for (want, &got) in softmax(&x).iter().zip(got) {
                let got = f16::from_bits(got).to_f64();
                assert!((got - want).abs() < 6e-4 * want + 3.1e-8, "{want} {got}");
            }
        }
    });
}

#[test]
fn transposes() {
    each("transpose", &ALL, |device, module| {
        for (rows, columns) in [(32u32, 32u32), (64, 96), (33, 70)] {
            let x: Vec<f32> = (0..rows * columns).map(|i| i as f32 + 0.5).collect();
            let input = upload(device, "x", &x);
            for kernel in ["transpose_padded", "transpose_conflicts"] {
                let out = uninit::<f32>(device, "out", x.len());
                let args = [Arg::Ptr(out), Arg::Ptr(input), Arg::U32(rows), Arg::U32(columns)];
                let grid = [columns.div_ceil(32), rows.div_ceil(32), 1];
                let report = launch(device, module, kernel, grid, [32, 8, 1], 0, &args)
                    .unwrap_or_else(|error| panic!("{kernel}: {error}"));
                let got = download::<f32>(device, out, x.len());
                for r in 0..rows as usize {
                    for c in 0..columns as usize {
                        assert_eq!(got[c * rows as usize + r], x[r * columns as usize + c]);
                    }
                }
                if (rows, columns) == (32, 32) {
                    // 32 reads of columns: one pass each with padding, 32 without.
                    let load = report.counters.shared_load;
                    let padded = kernel == "transpose_padded";
                    assert_eq!(load.requests, 32);
                    assert_eq!(load.conflicts, if padded { 0 } else { 32 * 31 }, "{kernel}");
                    assert_eq!(report.counters.shared_store.conflicts, 0);
                    // Rows of 128 bytes are four sectors.
                    assert_eq!(report.counters.global_load.sectors, 32 * 4);
                    assert_eq!(report.counters.global_store.sectors, 32 * 4);
                }
            }
        }
        let x: Vec<u8> = (0..1024u32).map(|i| (i * 7 + i / 32) as u8).collect();
        let out = uninit::<u8>(device, "out", 1024);
        let args = [Arg::Ptr(out), Arg::Ptr(upload(device, "x", &x))];
        run(device, module, "transpose_bytes", (1, 32), 0, &args);
        let got = download::<u8>(device, out, 1024);
        assert!((0..1024).all(|i| got[i] == x[i % 32 * 32 + i / 32]));
    });
}

#[test]
fn histograms() {
    each("histogram", &ALL, |device, module| {
        let mut random = Random(12);
        let n = 3001u32;
        let data: Vec<u8> = (0..n * 4).map(|_| (random.next() & random.next()) as u8).collect();
        let bins = upload(device, "bins", &[0u32; 256]);
        let args = [Arg::Ptr(bins), Arg::Ptr(upload(device, "data", &data)), Arg::U32(n)];
        run(device, module, "histogram_256", (4, 128), 0, &args);
        let mut want = vec![0u32; 256];
        data.iter().for_each(|&x| want[usize::from(x)] += 1);
        assert_eq!(download::<u32>(device, bins, 256), want);

        let words: Vec<u32> = (0..n).map(|_| random.next() as u32 & 0xff7).collect();
        let bins = upload(device, "bins", &[0u32; 64]);
        let args = [Arg::Ptr(bins), Arg::Ptr(upload(device, "words", &words)), Arg::U32(n)];
        run(device, module, "histogram_matched", (n.div_ceil(128), 128), 0, &args);
        let mut want = vec![0u32; 64];
        words.iter().for_each(|&x| want[(x & 63) as usize] += 1);
        assert_eq!(download::<u32>(device, bins, 64), want);

        let floats: Vec<f32> = (0..n).map(|_| random.unit() * 1e6 - 5e5).collect();
        let best = upload(device, "best", &[f32::NEG_INFINITY]);
        let args = [Arg::Ptr(best), Arg::Ptr(upload(device, "floats", &floats)), Arg::U32(n)];
        run(device, module, "max_by_cas", (n.div_ceil(64), 64), 0, &args);
        let want = floats.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        assert_eq!(download::<f32>(device, best, 1), [want]);
    });
}

#[test]
fn bulk_streams() {
    each("bulk", &BULK, |device, module| {
        for (tiles, ctas) in [(1u32, 1u32), (7, 2), (9, 3)] {
            let n = tiles as usize * 1024;
            let x: Vec<f32> = (0..n).map(|i| i as f32 * 0.25 - 100.0).collect();
            let out = uninit::<f32>(device, "out", n);
            let args = [Arg::Ptr(out), Arg::Ptr(upload(device, "x", &x)), Arg::U32(tiles)];
            run(device, module, "stream", (ctas, 128), 0, &args);
            let want: Vec<f32> = x.iter().map(|x| x * 2.0 + 1.0).collect();
            assert_eq!(download::<f32>(device, out, n), want, "{tiles} tiles, {ctas} CTAs");
        }
    });
}
