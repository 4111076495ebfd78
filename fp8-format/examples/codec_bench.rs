//! Codec throughput on one thread, beside the `float8` crate and a plain copy, in one run.
//!
//! `cargo run --release -p fp8-format --example codec_bench [-- --json]`
//!
//! Speeds are in GB/s of the wide side: elements × the size of the float type. Each answer is
//! compared with the scalar conversion before its time is reported.

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
const BUDGET: Duration = Duration::from_millis(200);

/// One line of the report.
struct Row {
    operation: String,
    elements: usize,
    gb_per_s: f64,
    /// Elements per second over those of the copy of as many `f32`.
    over_copy: f64,
    /// Elements per second over those of the `float8` crate, for what it offers.
    over_float8: Option<f64>,
}

/// What is measured first and compared with: nanoseconds per element.
struct Yardsticks {
    copy: f64,
    float8: [(&'static str, f64); 4],
}

/// The best time of one call, in nanoseconds per element.
fn measure(elements: usize, mut call: impl FnMut()) -> f64 {
    call();
    let start = Instant::now();
    let mut best = Duration::MAX;
    while start.elapsed() < BUDGET {
        let call_start = Instant::now();
        call();
        best = best.min(call_start.elapsed());
    }
    best.as_secs_f64() * 1e9 / elements as f64
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

/// The `float8` crate, element by element, which is all it offers.
fn float8<T: Copy, C: Code + PartialEq>(
    count: usize,
    encode: impl Fn(f32) -> T,
    decode: impl Fn(T) -> f32,
) -> [f64; 2] {
    let src = inputs::<f32>(count);
    let mut codes: Vec<T> = src.iter().map(|&x| encode(x)).collect();
    let mut back = vec![0.0; count];
    let encoding = measure(count, || {
        for (code, &x) in black_box(&mut codes).iter_mut().zip(black_box(&src)) {
            *code = encode(x);
        }
    });
    let decoding = measure(count, || {
        for (x, &code) in black_box(&mut back).iter_mut().zip(black_box(&codes)) {
            *x = decode(code);
        }
    });
    let scalar = src.iter().map(|&x| C::encode(x, Overflow::Saturate).decode());
    check(scalar.eq(back.iter().copied()), "float8 crate");
    [encoding, decoding]
}

fn yardsticks(count: usize) -> Yardsticks {
    let src = inputs::<f32>(count);
    let mut dst = vec![0.0; count];
    let copy = measure(count, || black_box(&mut dst).copy_from_slice(black_box(&src)));
    check(src == dst, "copy");
    drop((src, dst));
    let e4m3 = float8::<_, F8E4M3>(count, float8::F8E4M3::from_f32, |x| x.to_f32());
    let e5m2 = float8::<_, F8E5M2>(count, float8::F8E5M2::from_f32, |x| x.to_f32());
    let float8 = [
        ("f32 -> fp8_e4m3", e4m3[0]),
        ("fp8_e4m3 -> f32", e4m3[1]),
        ("f32 -> fp8_e5m2", e5m2[0]),
        ("fp8_e5m2 -> f32", e5m2[1]),
    ];
    Yardsticks { copy, float8 }
}

struct Report {
    rows: Vec<Row>,
    count: usize,
    yardsticks: Yardsticks,
}

impl Report {
    /// Adds a figure for `operation`, on elements of `size` bytes, scaled or not.
    fn add(&mut self, operation: &str, scale: f32, size: usize, nanoseconds: f64) {
        let float8 = self.yardsticks.float8.iter().find(|(name, _)| *name == operation);
        let scaled = if scale == 1.0 { "" } else { ", scaled" };
        self.rows.push(Row {
            operation: format!("{operation}{scaled}"),
            elements: self.count,
            gb_per_s: size as f64 / nanoseconds,
            over_copy: self.yardsticks.copy / nanoseconds,
            over_float8: float8.map(|(_, theirs)| theirs / nanoseconds),
        });
    }

    fn codec<C: Code + PartialEq, S: Source + PartialEq>(&mut self, scale: f32) {
        let src = inputs::<S>(self.count);
        let mut codes = vec![C::encode(0.0, Overflow::Saturate); self.count];
        let (wide, narrow) = (S::ELEMENT_TYPE, C::ELEMENT_TYPE);

        let time = measure(self.count, || {
            encode_slice(black_box(&src), black_box(scale), black_box(&mut codes));
        });
        let scalar = src.iter().map(|x| C::encode(x.to_f32() / scale, Overflow::Saturate));
        check(scalar.eq(codes.iter().copied()), "encode");
        self.add(&format!("{wide} -> {narrow}"), scale, size_of::<S>(), time);

        let mut back = vec![S::from_f32(0.0); self.count];
        let time = measure(self.count, || {
            decode_slice(black_box(&codes), black_box(scale), black_box(&mut back));
        });
        let scalar = codes.iter().map(|code| S::from_f32(code.decode() * scale));
        check(scalar.eq(back.iter().copied()), "decode");
        self.add(&format!("{narrow} -> {wide}"), scale, size_of::<S>(), time);
    }

    fn largest<S: Source>(&mut self) {
        let src = inputs::<S>(self.count);
        let mut found = 0.0;
        let time = measure(self.count, || found = absmax(black_box(&src)));
        check(found == src.iter().map(|x| x.to_f32().abs()).fold(0.0, f32::max), "absmax");
        self.add(&format!("absmax {}", S::ELEMENT_TYPE), 1.0, size_of::<S>(), time);
    }
}

fn run(size: usize) -> Vec<Row> {
    let count = size / 4;
    let mut report = Report { rows: Vec::new(), count, yardsticks: yardsticks(count) };
    report.add("copy f32", 1.0, 4, report.yardsticks.copy);
    for (operation, theirs) in report.yardsticks.float8 {
        report.rows.push(Row {
            operation: format!("float8 crate: {operation}"),
            elements: count,
            gb_per_s: 4.0 / theirs,
            over_copy: report.yardsticks.copy / theirs,
            over_float8: None,
        });
    }
    for scale in [1.0, SCALE] {
        report.codec::<F8E4M3, f32>(scale);
        report.codec::<F8E5M2, f32>(scale);
        report.codec::<i8, f32>(scale);
        report.codec::<F8E4M3, f16>(scale);
        report.codec::<F8E4M3, bf16>(scale);
        report.codec::<i8, f16>(scale);
        report.codec::<i8, bf16>(scale);
    }
    report.largest::<f32>();
    report.largest::<bf16>();
    report.rows
}

fn print_table(rows: &[Row]) {
    println!("codec, one thread, {}; GB/s of the wide side", Isa::detected().name());
    println!("copy and float8 ratios are of elements per second");
    let mut size = 0;
    for row in rows {
        if row.elements != size {
            size = row.elements;
            println!();
            println!(
                "{:30} {:>8} {:>8} {:>9}",
                format!("{size} elements"),
                "GB/s",
                "/ copy",
                "/ float8"
            );
        }
        let over_float8 = row.over_float8.map(|ratio| format!("{ratio:.1}")).unwrap_or_default();
        let (operation, speed, over_copy) = (&row.operation, row.gb_per_s, row.over_copy);
        println!("{operation:30} {speed:8.2} {over_copy:8.2} {over_float8:>9}");
    }
}

/// Nothing in it needs escaping.
fn print_json(rows: &[Row]) {
    let rows: Vec<String> = rows
        .iter()
        .map(|row| {
            let over_float8 = row.over_float8.map_or("null".into(), |ratio| format!("{ratio:.4}"));
            format!(
                "{{\"operation\":\"{}\",\"elements\":{},\"gb_per_s\":{:.4},\"over_copy\":{:.4},\"over_float8\":{over_float8}}}",
                row.operation, row.elements, row.gb_per_s, row.over_copy,
            )
        })
        .collect();
    println!(
        "{{\"isa\":\"{}\",\"threads\":1,\"rows\":[{}]}}",
        Isa::detected().name(),
        rows.join(",")
    );
}

fn main() -> ExitCode {
    let json = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--json") => true,
        Some(other) => {
            eprintln!("error: unknown option '{other}'; there is --json");
            return ExitCode::from(2);
        }
    };
    let rows: Vec<Row> = SIZES.into_iter().flat_map(run).collect();
    if json {
        print_json(&rows);
    } else {
        print_table(&rows);
    }
    ExitCode::SUCCESS
}
