//! The machine: its name, its instruction sets, and how fast it reads memory. Every speed below
//! is set against the last.

use std::time::Duration;

use attn_kernels::{Backend, CacheShape, CpuBackend};
use fp8_format::ElementType;
use rayon::prelude::*;
use serde_json::json;

use crate::Options;
use crate::report::{Failure, Report, gb};
use crate::timing::best;

/// Larger than the last-level cache of the machines this is meant for.
const BYTES: usize = 512 << 20;

pub(crate) fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let cores = rayon::current_num_threads();
    let size = if options.quick { BYTES / 4 } else { BYTES };
    // The memory of a KV cache, with whatever pages it gets: what attention reads from.
    let backend = CpuBackend::new();
    let shape = CacheShape::new(size >> 12, 16, 1, 256, ElementType::F8E4M3, ElementType::F8E4M3);
    let mut cache = backend.new_cache(shape)?;
    let words = cache.buffers_mut().0.bytes_mut();
    for (i, word) in words.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        *word = (i as u64).to_le_bytes();
    }
    let (memory, huge_pages) = (cache.k().bytes(), cache.k().huge_pages());
    let words = (size / 8) as u64;
    let expected = (words - 1) * words / 2;

    let budget = Duration::from_millis(if options.quick { 500 } else { 1500 });
    let (mut one, mut all) = (0, 0);
    let seconds = best(budget, || one = sum(memory));
    report.read_one = size as f64 / seconds;
    let part = (size / cores).next_multiple_of(1 << 12);
    let seconds = best(budget, || all = memory.par_chunks(part).map(sum).sum());
    report.read_all = size as f64 / seconds;
    if (one, all) != (expected, expected) {
        return Err(Failure::new("the read loop did not read what was written"));
    }

    let (name, simd) = (cpu_name(), instruction_sets());
    report.heading("Machine");
    report.note(&format!("  {name}, {cores} threads, {}", simd.join(" ")));
    report.note(&format!(
        "  kernels use {}; the cache's memory is {}",
        backend.isa(),
        if huge_pages { "on huge pages" } else { "on ordinary pages" }
    ));
    report.note(&format!(
        "  that memory is read at {} GB/s by one thread, {} GB/s by all",
        gb(report.read_one),
        gb(report.read_all)
    ));
    report.add(
        "machine",
        json!({ "cpu": name, "threads": cores, "simd": simd, "kernels": backend.isa(),
                "huge_pages": huge_pages,
                "read_bytes_per_second": { "one_thread": report.read_one,
                                           "all_threads": report.read_all } }),
    );
    Ok(())
}

/// Places a thread reads from in turn. Hardware prefetchers work within a page, so one linear walk
/// waits at each page's start; walking eight at once is the fastest read found here, and the limit
/// must be the machine's, not the loop's.
const STREAMS: usize = 8;

/// Adds everything up: bound by memory, not by the additions. `bytes` is a multiple of 1 KiB.
fn sum(bytes: &[u8]) -> u64 {
    let lines = std::hint::black_box(bytes).as_chunks::<128>().0;
    let stream = lines.len() / STREAMS;
    let mut sums = [0u64; 16];
    for at in 0..stream {
        for line in lines[at..].iter().step_by(stream).take(STREAMS) {
            for (sum, word) in sums.iter_mut().zip(line.as_chunks::<8>().0) {
                *sum = sum.wrapping_add(u64::from_le_bytes(*word));
            }
        }
    }
    sums.iter().fold(0, |total, &n| total.wrapping_add(n))
}

fn cpu_name() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    line.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

fn instruction_sets() -> Vec<&'static str> {
    let mut found = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! look {
            ($($name:tt)*) => {$( if is_x86_feature_detected!($name) { found.push($name); } )*};
        }
        look!("avx2" "fma" "f16c" "avx512f" "avx512bw" "avx512vnni");
    }
    if found.is_empty() {
        found.push("no SIMD that is used here");
    }
    found
}
