//! The machine: its name, its instruction sets, and how fast it reads memory. Every speed below
//! is set against the last.

use std::time::Duration;

use rayon::prelude::*;
use serde_json::json;

use crate::Options;
use crate::report::{Failure, Report, gb};
use crate::timing::best;

/// Larger than the last-level cache of any machine this is meant for.
const BYTES: usize = 512 << 20;

pub(crate) fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let cores = rayon::current_num_threads();
    let words = if options.quick { BYTES / 4 } else { BYTES } / 8;
    let memory: Vec<u64> = (0..words as u64).into_par_iter().collect();
    let expected = (words as u64 - 1) * words as u64 / 2;

    let budget = Duration::from_millis(if options.quick { 500 } else { 1500 });
    let (mut one, mut all) = (0, 0);
    let seconds = best(budget, || one = sum(&memory));
    report.read_one = (words * 8) as f64 / seconds;
    let part = words.div_ceil(cores);
    let seconds = best(budget, || all = memory.par_chunks(part).map(sum).sum());
    report.read_all = (words * 8) as f64 / seconds;
    if (one, all) != (expected, expected) {
        return Err(Failure::new("the read loop did not read what was written"));
    }

    let (name, simd, pages) = (cpu_name(), instruction_sets(), huge_pages());
    report.heading("Machine");
    report.note(&format!("  {name}, {cores} threads, {}", simd.join(" ")));
    report.note(&format!(
        "  reads {} GB/s with one thread, {} GB/s with all; transparent huge pages: {pages}",
        gb(report.read_one),
        gb(report.read_all)
    ));
    report.add(
        "machine",
        json!({ "cpu": name, "threads": cores, "simd": simd, "transparent_huge_pages": pages,
                "read_bytes_per_second": { "one_thread": report.read_one,
                                           "all_threads": report.read_all } }),
    );
    Ok(())
}

/// Adds everything up, sixteen numbers at a time: bound by memory, not by the additions.
fn sum(words: &[u64]) -> u64 {
    let mut sums = [0u64; 16];
    let (chunks, rest) = std::hint::black_box(words).as_chunks::<16>();
    for chunk in chunks {
        for (sum, word) in sums.iter_mut().zip(chunk) {
            *sum = sum.wrapping_add(*word);
        }
    }
    sums.iter().chain(rest).fold(0, |total, &n| total.wrapping_add(n))
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

/// What the kernel's setting allows; the attention section says what the pool got.
fn huge_pages() -> String {
    let setting = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    let setting = setting.unwrap_or_default();
    let chosen = setting.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    chosen.map_or_else(|| "unknown".to_owned(), |(name, _)| name.to_owned())
}
