//! Thread instructions per second of the paged decode kernels that NVRTC compiled (`cargo xtask kernels
//! --tests`), with all checks and with none, on one host thread and on two. The partials of every timed
//! launch are compared with f64.
//!
//! `cargo bench -p cuda-emulator --bench throughput`

#[path = "../tests/kernels/attention.rs"]
#[allow(dead_code, unused_imports, reason = "its tests are not run here")]
mod attention;
#[path = "../tests/kernels/built.rs"]
#[allow(dead_code, reason = "a part is used")]
mod built;
#[path = "../tests/common/mod.rs"]
mod common;

use std::time::Instant;

use cuda_emulator::{Checks, DeviceConfig, Profile};

use attention::Case;
use common::launch::{device_with, launch};

/// Launches per measurement; the fastest counts, since others use the machine too.
const ROUNDS: usize = 7;

/// Millions of thread instructions per second.
fn measure(
    case: &Case,
    file: &str,
    kernel: &str,
    block: u32,
    threads: usize,
    checks: Checks,
) -> f64 {
    let Some(text) = built::ptx(file, "sm_90a") else { return 0.0 };
    let config =
        DeviceConfig { profile: Profile::sm_90(), checks, threads, ..DeviceConfig::default() };
    let device = device_with(config);
    let module = device.load_ptx(file, &text).expect("the PTX of the tests");
    let (args, partials) = case.arguments(&device);
    let mut best = 0.0f64;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let report = launch(&device, &module, kernel, case.grid(), [block, 1, 1], 0, &args);
        let seconds = start.elapsed().as_secs_f64();
        let counters = report.expect("a clean run").counters;
        best = best.max(counters.thread_instructions as f64 / seconds / 1e6);
    }
    case.check_partials(&device, partials, 1e-3);
    best
}

fn main() {
    let case = Case::new(&[512, 300, 512, 255, 512, 512, 64, 512], 2, 3);
    for (file, kernel, block) in [("paged_decode", "decode", 128), ("paged_mma", "decode_mma", 32)]
    {
        for (name, checks) in [("all checks", Checks::all()), ("no checks", Checks::none())] {
            let one = measure(&case, file, kernel, block, 1, checks);
            let two = measure(&case, file, kernel, block, 2, checks);
            println!(
                "{kernel}, {name}: {one:.0} M thread instructions/s on one host thread, {two:.0} on two \
                 ({:.2} times)",
                two / one
            );
        }
    }
}
