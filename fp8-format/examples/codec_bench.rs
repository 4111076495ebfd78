//! Codec throughput on one thread, beside the `float8` crate and a plain copy, in one run.
//!
//! `cargo run --release -p fp8-format --example codec_bench [-- --json]`
//!
//! Speeds are in GB/s of the wide side: elements × the size of the float type. Each answer is
//! compared with the scalar conversion before its time is printed.

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use fp8_format::simd::Isa;
use fp8_format::{Code, F8E4M3, F8E5M2, Overflow, Source, absmax, decode_slice, encode_slice};
use half::{bf16, f16};

/// Bytes of `f32` in the two settings: within the second-level cache, and far beyond it.
const SIZES: [usize; 2] = [256 << 10, 64 << 20];
const SCALE: f32 = 0.037;
/// Time spent on each figure, after one warming call; the best call counts.
const BUDGET: Duration = Duration::from_millis(150);

/// One line of the report.
struct Row {
    bytes: usize,
    operation: String,
    gb_per_s: f64,
}

/// The best time of one call, as GB/s of `bytes`.
fn measure(bytes: usize, mut call: impl FnMut()) -> f64 {
    call();
    let start = Instant::now();
    let mut best = Duration::MAX;
    while start.elapsed() < BUDGET {
        let call_start = Instant::now();
        call();
        best = best.min(call_start.elapsed());
    }
    bytes as f64 / best.as_secs_f64() / 1e9
}

/// Values around a KV cache's: mostly within the range, some beyond, some subnormal.
fn inputs<S: Source>(count: usize) -> Vec<S> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let unit = (state >> 40) as f32 / (1 << 24) as f32 - 0.5;
            S::from_f32(unit * unit * unit * 160.0)
        })
        .collect()
}

fn check(ok: bool, what: &str) {
    assert!(ok, "{what}: the timed answer is not the scalar one");
}

fn codec<C: Code + PartialEq, S: Source + PartialEq>(
    rows: &mut Vec<Row>,
    count: usize,
    scale: f32,
) {
    let src = inputs::<S>(count);
    let mut codes = vec![C::encode(0.0, Overflow::Saturate); count];
    let bytes = count * size_of::<S>();
    let scaled = if scale == 1.0 { "" } else { ", scaled" };
    let (wide, narrow) = (S::ELEMENT_TYPE, C::ELEMENT_TYPE);

    let gb_per_s =
        measure(bytes, || encode_slice(black_box(&src), black_box(scale), black_box(&mut codes)));
    check(
        src.iter()
            .zip(&codes)
            .all(|(x, &code)| code == C::encode(x.to_f32() / scale, Overflow::Saturate)),
        "encode",
    );
    rows.push(Row { bytes, operation: format!("{wide} -> {narrow}{scaled}"), gb_per_s });

    let mut back = vec![S::from_f32(0.0); count];
    let gb_per_s =
        measure(bytes, || decode_slice(black_box(&codes), black_box(scale), black_box(&mut back)));
    check(
        codes.iter().zip(&back).all(|(code, &x)| x == S::from_f32(code.decode() * scale)),
        "decode",
    );
    rows.push(Row { bytes, operation: format!("{narrow} -> {wide}{scaled}"), gb_per_s });
}

fn largest<S: Source>(rows: &mut Vec<Row>, count: usize) {
    let src = inputs::<S>(count);
    let mut found = 0.0;
    let bytes = count * size_of::<S>();
    let gb_per_s = measure(bytes, || found = absmax(black_box(&src)));
    check(found == src.iter().map(|x| x.to_f32().abs()).fold(0.0, f32::max), "absmax");
    rows.push(Row { bytes, operation: format!("absmax {}", S::ELEMENT_TYPE), gb_per_s });
}

/// The `float8` crate, element by element, which is all it offers.
fn float8<T: Copy>(
    rows: &mut Vec<Row>,
    count: usize,
    name: &str,
    encode: impl Fn(f32) -> T,
    decode: impl Fn(T) -> f32,
) {
    let src = inputs::<f32>(count);
    let mut codes: Vec<T> = src.iter().map(|&x| encode(x)).collect();
    let mut back = vec![0.0; count];
    let bytes = count * 4;
    let gb_per_s = measure(bytes, || {
        for (code, &x) in black_box(&mut codes).iter_mut().zip(black_box(&src)) {
            *code = encode(x);
        }
    });
    rows.push(Row { bytes, operation: format!("float8 crate: f32 -> {name}"), gb_per_s });
    let gb_per_s = measure(bytes, || {
        for (x, &code) in black_box(&mut back).iter_mut().zip(black_box(&codes)) {
            *x = decode(code);
        }
    });
    rows.push(Row { bytes, operation: format!("float8 crate: {name} -> f32"), gb_per_s });
}

fn run() -> Vec<Row> {
    let mut rows = Vec::new();
    for size in SIZES {
        let count = size / 4;
        let src = inputs::<f32>(count);
        let mut dst = vec![0.0; count];
        let gb_per_s = measure(size, || black_box(&mut dst).copy_from_slice(black_box(&src)));
        check(src == dst, "copy");
        rows.push(Row { bytes: size, operation: "copy f32 -> f32".into(), gb_per_s });
        drop((src, dst));

        float8(&mut rows, count, "fp8_e4m3", float8::F8E4M3::from_f32, |x| x.to_f32());
        float8(&mut rows, count, "fp8_e5m2", float8::F8E5M2::from_f32, |x| x.to_f32());
        for scale in [1.0, SCALE] {
            codec::<F8E4M3, f32>(&mut rows, count, scale);
            codec::<F8E5M2, f32>(&mut rows, count, scale);
            codec::<i8, f32>(&mut rows, count, scale);
            codec::<F8E4M3, f16>(&mut rows, count, scale);
            codec::<F8E4M3, bf16>(&mut rows, count, scale);
        }
        largest::<f32>(&mut rows, count);
        largest::<bf16>(&mut rows, count);
    }
    rows
}

fn print_table(rows: &[Row]) {
    println!("codec throughput, one thread, {}, GB/s of the wide side", Isa::detected().name());
    println!("{:34} {:>9} {:>9} {:>8} {:>8}", "", "bytes", "GB/s", "/ copy", "/ float8");
    for row in rows {
        let elements = |r: &Row| r.operation.clone();
        let _ = elements;
        println!("{:34} {:>9} {:>9.2}", row.operation, row.bytes, row.gb_per_s);
    }
}

fn main() -> ExitCode {
    let rows = run();
    print_table(&rows);
    ExitCode::SUCCESS
}
