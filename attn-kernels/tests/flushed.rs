//! A process that Rust code is only a part of may have its threads take subnormal numbers for 0. FP8
//! codes that are subnormal are numbers there, too.
#![cfg(target_arch = "x86_64")]

mod common;

use std::arch::asm;
use std::hint::black_box;

use attn_kernels::{CpuBackend, KvLayout};
use common::{World, bits};
use fp8_format::ElementType::{F8E4M3, F8E4M3Fnuz, F8E5M2, F8E5M2Fnuz};

/// MXCSR with every exception masked, as a thread begins; and with DAZ and FTZ.
const USUAL: u32 = 0x1f80;
const FLUSHED: u32 = USUAL | 0x8040;

fn set(mxcsr: u32) {
    // SAFETY: exceptions stay masked. What is computed meanwhile is the subject of this test, which
    // has the usual value back before it compares.
    unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const mxcsr, options(nostack)) };
}

/// The one test of its process: what is measured once must be measured while flushing.
#[test]
fn subnormal_codes_stay_numbers() {
    let cpu = CpuBackend::new();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    for stored in [F8E4M3, F8E5M2, F8E4M3Fnuz, F8E5M2Fnuz] {
        for heads in [2, 8, 20] {
            let mut world = World::new(41, heads, 2, 64, &[313]);
            // Subnormal codes alone, and queries that make scores of the usual size of them.
            let tiny = if stored.max() > 1e3 { 4e-6 } else { 2e-3 };
            for x in world.k[0].iter_mut().chain(&mut world.v[0]) {
                *x *= tiny;
            }
            world.q[0].iter_mut().for_each(|x| *x /= tiny);
            let shape = world.shape(16, KvLayout::Nhd, stored, stored);
            let tables = world.tables(&shape, 5);
            let cache = world.fill(&cpu, &shape, &tables);
            let run = |mxcsr| {
                pool.install(|| {
                    set(mxcsr);
                    let flushed = black_box(f32::from_bits(1 << 20)) * black_box(1e18) == 0.0;
                    let queries = [(0, 312, 313), (0, 300, 312)];
                    let got = world.attend(&cpu, &cache, &world.attention(), &tables, &queries);
                    set(USUAL);
                    assert_eq!(flushed, mxcsr == FLUSHED);
                    (bits(&got.0), bits(&got.1))
                })
            };
            let (flushed, usual) = (run(FLUSHED), run(USUAL));
            assert!(usual.0.iter().any(|x| x << 1 != 0), "{stored} {heads}: all 0");
            assert!(flushed == usual, "{stored} {heads}");
        }
    }
}
