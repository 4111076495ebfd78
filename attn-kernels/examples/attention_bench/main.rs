//! How fast attention is: decoding and prefill per storage type, as a fraction of what the machine
//! could do at best, measured in the same run. Every case is compared with the reference first.
//! Scales of quantized types are fitted to the data, as calibration does; `fp8_e4m3@1` has scales of
//! 1, as an engine without calibration, where nearly every 16 tokens have subnormal codes among
//! theirs. `int8+` is an INT8 cache with integer arithmetic. At the end stands which of the limits that this
//! library sets itself are met; `--limits` runs their cases alone.
//!
//! `cargo run --release -p attn-kernels --example attention_bench -- [--json] [--quick] [--limits]
//! [--only TEXT]`

mod case;
mod limits;
mod simd;

use attn_kernels::{AttnMath, CpuBackend, Error};
use case::{Case, Timing, World};
use fp8_format::ElementType::{self, *};
use rayon::ThreadPool;

/// What the command line asks for.
struct Options {
    json: bool,
    quick: bool,
    /// Run only what a limit speaks of.
    limits: bool,
    /// Run only cases whose label contains this.
    only: Option<String>,
}

fn main() {
    let mut options = Options { json: false, quick: false, limits: false, only: None };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--json" => options.json = true,
            "--quick" => options.quick = true,
            "--limits" => options.limits = true,
            "--only" => options.only = args.next(),
            other => {
                eprintln!(
                    "error: unknown option {other}; known: --json, --quick, --limits, --only TEXT"
                );
                std::process::exit(2);
            }
        }
    }
    if let Err(error) = run(&options) {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn run(options: &Options) -> Result<(), Error> {
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let pool = |threads| {
        let built = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        built.map_err(|e| Error::OutOfMemory { bytes: 0, reason: e.to_string() })
    };
    let mut pools = vec![pool(1)?];
    if all > 1 {
        pools.push(pool(all)?);
    }
    let isa = CpuBackend::new().isa();
    let peak = pools[0].install(|| simd::fma_peak(isa));
    let mut timings = Vec::new();
    if !options.json {
        println!("kernels: {isa}; its FMA peak on one thread: {peak:.1} GFLOP/s");
        println!("{HEADER}");
    }
    for case in cases(options.quick) {
        let other = options.only.as_ref().is_some_and(|only| !label(&case).contains(only));
        if other || options.limits && !limits::concern(&case) {
            continue;
        }
        let mut world = World::new(&case)?;
        for pool in &pools {
            timings.push(time(&mut world, pool, peak, options)?);
        }
    }
    if !options.json {
        limits::print(&timings);
    } else {
        let lines: Vec<String> = timings.iter().map(json).collect();
        println!(
            "{{\"isa\":\"{isa}\",\"fma_gflops\":{peak:.2},\"results\":[\n{}\n]}}",
            lines.join(",\n")
        );
    }
    Ok(())
}

fn time(
    world: &mut World,
    pool: &ThreadPool,
    peak: f64,
    options: &Options,
) -> Result<Timing, Error> {
    let timing = world.time(pool, peak, if options.quick { 0.15 } else { 0.8 })?;
    if !options.json {
        println!("{}", row(&timing));
    }
    Ok(timing)
}

/// Bytes of K and V of the largest case: a machine with 8 GiB holds it, and its reference, too.
const LARGEST: usize = 2200 << 20;

fn cases(quick: bool) -> Vec<Case> {
    let case = |(stored, math), num_heads, num_kv_heads, head_dim, q_len, kv_len, batch| Case {
        stored,
        unscaled: false,
        math,
        num_heads,
        num_kv_heads,
        head_dim,
        q_len,
        kv_len,
        batch,
    };
    let types: &[ElementType] =
        if quick { &[F8E4M3, F16] } else { &[F8E4M3, F8E5M2, Int8, F16, Bf16, F32] };
    let mut kinds: Vec<_> = types.iter().map(|&stored| (stored, AttnMath::Default)).collect();
    if !quick {
        kinds.push((Int8, AttnMath::Int8));
    }
    let contexts: &[(usize, usize)] = if quick {
        &[(4096, 1)]
    } else {
        &[
            (1024, 1),
            (4096, 1),
            (16384, 1),
            (65536, 1),
            (1024, 8),
            (4096, 8),
            (16384, 8),
            (65536, 8),
        ]
    };
    let mut cases = Vec::new();
    for &(kv_len, batch) in contexts {
        for &(heads, kv_heads, d) in &[(32, 8, 128), (8, 8, 128), (9, 3, 64)] {
            for &kind in &kinds {
                let case = case(kind, heads, kv_heads, d, 1, kv_len, batch);
                if case.kv_bytes() > LARGEST {
                    continue;
                }
                let also_unscaled = !quick
                    && kind == (F8E4M3, AttnMath::Default)
                    && d == 128
                    && batch == 1
                    && matches!(kv_len, 4096 | 16384);
                let unscaled = also_unscaled.then(|| Case { unscaled: true, ..case.clone() });
                cases.push(case);
                cases.extend(unscaled);
            }
        }
    }
    for &kind in &kinds {
        cases.push(case(kind, 32, 8, 128, 512, 4096, 1));
    }
    cases
}

fn label(c: &Case) -> String {
    let kind = if c.q_len == 1 { "decode" } else { "prefill" };
    format!(
        "{kind} {} {}/{}x{} kv{} q{} b{}",
        c.kind(),
        c.num_heads,
        c.num_kv_heads,
        c.head_dim,
        c.kv_len,
        c.q_len,
        c.batch
    )
}

const HEADER: &str = "case                                        threads         µs    GB/s  GFLOP/s  of read  of FMA  of roof    error";

fn row(t: &Timing) -> String {
    format!(
        "{:<44}{:>6}{:>12.1}{:>8.2}{:>9.1}{:>9.2}{:>8.2}{:>9.2}{:>9.1e}",
        label(&t.case),
        t.threads,
        t.seconds * 1e6,
        t.kv_bytes as f64 / t.seconds / 1e9,
        t.flops / t.seconds / 1e9,
        t.read_seconds / t.seconds,
        t.fma_seconds / t.seconds,
        t.of_roof(),
        t.error,
    )
}

fn json(t: &Timing) -> String {
    let c = &t.case;
    format!(
        concat!(
            "{{\"kind\":\"{}\",\"kv_cache_dtype\":\"{}\",\"unscaled\":{},\"attn_math\":\"{}\",\"num_heads\":{},\"num_kv_heads\":{},",
            "\"head_dim\":{},\"q_len\":{},\"kv_len\":{},\"batch\":{},\"threads\":{},",
            "\"microseconds\":{:.2},\"kv_bytes\":{},\"kv_gb_per_s\":{:.3},\"gflop_per_s\":{:.2},",
            "\"read_gb_per_s\":{:.3},\"of_read\":{:.3},\"of_fma\":{:.3},\"of_roof\":{:.3},",
            "\"error\":{:.2e}}}"
        ),
        if c.q_len == 1 { "decode" } else { "prefill" },
        c.stored,
        c.unscaled,
        c.math,
        c.num_heads,
        c.num_kv_heads,
        c.head_dim,
        c.q_len,
        c.kv_len,
        c.batch,
        t.threads,
        t.seconds * 1e6,
        t.kv_bytes,
        t.kv_bytes as f64 / t.seconds / 1e9,
        t.flops / t.seconds / 1e9,
        t.kv_bytes as f64 / t.read_seconds / 1e9,
        t.read_seconds / t.seconds,
        t.fma_seconds / t.seconds,
        t.of_roof(),
        t.error,
    )
}
