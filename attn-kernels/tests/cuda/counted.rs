//! What a decode step moves and executes, counted on the emulated device: bytes, sectors, bank
//! conflicts, instructions. Counts are facts about the program; they are no times.

use attn_kernels::{AttnMath, Backend, Batch, KvLayout};
use cuda_emulator::{Class, Counters};
use fp8_format::ElementType::{self, Bf16, F8E4M3, F8E5M2, F16, Int8};

use crate::common::World;
use crate::device::{Cuda, Emulated};

/// An H100 (SXM): bytes from memory per clock and multiprocessor at 3.35 TB/s and 1.755 GHz, and
/// warp instructions it can issue per clock.
const BYTES_PER_CLOCK: f64 = 3.35e12 / (132.0 * 1.755e9);
const ISSUE_PER_CLOCK: f64 = 4.0;

/// One decode step of one sequence; the counts of its attention kernel.
fn decode(
    (arch, stored, math): (&'static str, ElementType, AttnMath),
    (heads, kv_heads, d, tokens): (usize, usize, usize, usize),
    wanted: usize,
) -> Counters {
    let cuda = Cuda::with(Emulated::new(arch).wanting(wanted));
    let world = World::new(81, heads, kv_heads, d, &[tokens]);
    let shape = world.shape(16, KvLayout::Hnd, stored, stored);
    let world = world.with_scales(&shape, true).with_q_scales(true);
    let tables = world.tables(&shape, 7);
    let mut cache = cuda.new_cache(shape.clone()).unwrap();
    let slots = World::slots(&tables[0], shape.block_size, 0..tokens);
    cuda.append(&mut cache, &world.scales, &world.k[0], &world.v[0], &slots).unwrap();
    let mut batch = Batch::new();
    batch.push(1, tokens, tables[0].iter().copied());
    let plan = cuda.plan(&shape, &world.attention().with_math(math), &batch).unwrap();
    let mut out = vec![0.0; heads * d];
    let q = &world.q[0][(tokens - 1) * heads * d..];
    cuda.attention(&plan, &cache, &world.scales, q, &mut out, None).unwrap();
    let launches = cuda.0.driver().launches.borrow();
    let found = launches.iter().find(|(name, _)| name.starts_with("attention_"));
    found.expect("attention ran").1.clone()
}

#[test]
fn a_decode_step_moves_what_it_must() {
    let (heads, kv_heads, d, tokens) = (32, 8, 128, 4096);
    let kv_bytes = (tokens * kv_heads * d * 2) as f64;
    // Every CTA reads its group's queries.
    let q_bytes = (heads / kv_heads * d * 4) as f64;
    let kernels = [("sm_90a", F8E4M3, AttnMath::Default), ("sm_89", F8E4M3, AttnMath::Fp8)];
    for (kernel, wanted) in kernels.into_iter().flat_map(|k| [(k, 1), (k, 4 * 132)]) {
        let counters = decode(kernel, (heads, kv_heads, d, tokens), wanted);
        let load = counters.global_load;
        let moved = load.sectors as f64 * 32.0;
        let over = (moved - q_bytes * counters.ctas as f64) / kv_bytes;
        // Of the asynchronous copies: in other loads many lanes ask for the same word.
        let plain = || counters.sites.iter().filter(|s| s.class == Class::GlobalLoad);
        let bytes = load.bytes - plain().map(|s| s.bytes).sum::<u64>();
        let sectors = load.sectors - plain().map(|s| s.sectors).sum::<u64>();
        let used = bytes as f64 / (sectors as f64 * 32.0);
        let per_byte = counters.warp_instructions as f64 / kv_bytes;
        let room = ISSUE_PER_CLOCK / (BYTES_PER_CLOCK * per_byte);
        println!(
            "{kernel:?} {} CTAs: sectors of {over:.4} times the KV bytes read beside q, {:.1} % of the sectors used, {per_byte:.4} \
             warp instructions per byte ({room:.2} times the issue slots that 3.35 TB/s leave), shared \
             conflicts {} of {} loads and {} of {} stores, {} mma, {} barriers, lanes {:.2}",
            counters.ctas,
            used * 100.0,
            counters.shared_load.conflicts,
            counters.shared_load.requests,
            counters.shared_store.conflicts,
            counters.shared_store.requests,
            counters.mma,
            counters.barriers,
            counters.lane_utilization(),
        );
        assert!(over <= 1.03, "{over} times the KV bytes read");
        assert!(used >= 0.97, "{used} of the sectors used");
        assert_eq!(counters.shared_load.conflicts, 0);
        assert!(room >= 1.0 / 0.9, "issue slots for {room} of the bandwidth");
    }
}

/// What ships meets no bank twice when it loads from shared memory, whatever the type and the head
/// dimension, and writes to one twice only where Q is arranged.
#[test]
fn no_kernel_loads_from_a_bank_twice() {
    let default = AttnMath::Default;
    let e4m3 = [64, 96, 128, 256].map(|d| (F8E4M3, d, default));
    let codes = [64, 96, 128, 256].map(|d| (F8E4M3, d, AttnMath::Fp8));
    let others = [F8E5M2, Int8, F16, Bf16];
    let others = others.iter().flat_map(|t| [(*t, 64, default), (*t, 128, default)]);
    for (stored, d, math) in e4m3.into_iter().chain(codes).chain(others) {
        let name = format!("{stored} d {d} {math}");
        let counters = decode(("sm_89", stored, math), (5, 1, d, 512), 1);
        assert_eq!(counters.shared_load.conflicts, 0, "{name}: loads");
        // Half of the stores of Q, of two parts beside bf16.
        let queries = if math == default { (d / 16 * 4) as u64 } else { 0 };
        let queries = if stored == Bf16 { 2 * queries } else { queries };
        assert!(counters.shared_store.conflicts <= queries, "{name}: {:?}", counters.shared_store);
    }
}
