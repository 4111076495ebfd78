//! A token's result has the same bits whatever is around it: batch, threads, block size, layout,
//! chunking of prefill, prefill or decode.

mod common;

use attn_kernels::{AttentionShape, AttnMath, CacheShape, CpuBackend, KvLayout, Variant};
use common::{Rng, World, bits};
use fp8_format::ElementType::{self, *};
use proptest::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

fn pool(threads: usize) -> ThreadPool {
    ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

/// Cuts `0..len` into random query ranges of at most `most` tokens.
fn cuts(rng: &mut Rng, sequence: usize, len: usize, most: usize) -> Vec<(usize, usize, usize)> {
    let mut from = 0;
    let mut ranges = Vec::new();
    while from < len {
        let to = (from + 1 + rng.below(most)).min(len);
        ranges.push((sequence, from, to));
        from = to;
    }
    ranges
}

/// Every token's rows, computed in calls of `per_call` random ranges; `[sequence][token × …]`.
fn run(
    cpu: &CpuBackend,
    world: &World,
    attention: &AttentionShape,
    how: &How,
) -> Vec<(Vec<u32>, Vec<u32>)> {
    let shape = how.stored.shape(world, how.block_size, how.layout);
    let tables = world.tables(&shape, how.seed);
    let cache = world.fill(cpu, &shape, &tables);
    let mut rng = Rng::new(how.seed);
    let sequences = 0..world.k.len();
    let mut ranges: Vec<_> =
        sequences.clone().flat_map(|s| cuts(&mut rng, s, world.kv_len(s), how.most)).collect();
    for i in (1..ranges.len()).rev() {
        ranges.swap(i, rng.below(i + 1));
    }
    let (row, heads) = (world.heads * world.d, world.heads);
    let mut results: Vec<_> =
        sequences.map(|s| (vec![0; world.q[s].len()], vec![0; world.kv_len(s) * heads])).collect();
    for call in ranges.chunks(how.per_call) {
        let (out, lse) = world.attend(cpu, &cache, attention, &tables, call);
        let mut at = 0;
        for &(s, from, to) in call {
            let n = to - from;
            results[s].0[from * row..to * row].copy_from_slice(&bits(&out[at * row..][..n * row]));
            let lse = bits(&lse[at * heads..][..n * heads]);
            results[s].1[from * heads..to * heads].copy_from_slice(&lse);
            at += n;
        }
    }
    results
}

#[derive(Debug, Clone)]
struct How {
    block_size: usize,
    layout: KvLayout,
    stored: Stored,
    most: usize,
    per_call: usize,
    seed: u64,
}

/// How K and V are stored and computed with.
#[derive(Debug, Clone, Copy)]
struct Stored {
    k: ElementType,
    v: ElementType,
    /// Dynamic scales of K and of V.
    own: (bool, bool),
    math: AttnMath,
}

impl Stored {
    fn shape(&self, world: &World, block_size: usize, layout: KvLayout) -> CacheShape {
        world.shape(block_size, layout, self.k, self.v).with_per_token_head(self.own.0, self.own.1)
    }
}

fn stored() -> impl Strategy<Value = Stored> {
    let of = |k, v, own, math| Just(Stored { k, v, own, math });
    let (fixed, own) = ((false, false), (true, true));
    prop_oneof![
        of(F32, F32, fixed, AttnMath::Default),
        of(F8E4M3, F8E4M3, fixed, AttnMath::Default),
        of(F8E4M3, F8E5M2, fixed, AttnMath::Default),
        of(F16, Bf16, fixed, AttnMath::Default),
        of(Int8, F8E4M3Fnuz, fixed, AttnMath::Default),
        of(F8E4M3, Int8, own, AttnMath::Default),
        of(Int8, F16, (true, false), AttnMath::Default),
        of(F8E4M3, F16, fixed, AttnMath::Fp8Q),
        of(F8E5M2, F8E4M3, own, AttnMath::Fp8Q),
        of(F8E4M3, F8E4M3, fixed, AttnMath::Fp8),
        of(F8E4M3, F8E5M2, own, AttnMath::Fp8),
        of(Int8, Int8, fixed, AttnMath::Int8),
        of(Int8, Int8, own, AttnMath::Int8),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn bits_do_not_depend_on_the_company(
        (kv_heads, group) in (1usize..4, 1usize..10),
        d in prop::sample::select(vec![8usize, 24, 64, 80]),
        lens in prop::collection::vec(1usize..700, 1..4),
        stored in stored(),
        layouts in prop::collection::vec((3u32..9, any::<bool>(), any::<u64>()), 3),
        (most, per_call) in (2usize..300, 2usize..9),
        window in prop::option::of(1usize..400),
        capped in any::<bool>(),
    ) {
        let world = World::new(lens.len() as u64, kv_heads * group, kv_heads, d, &lens);
        let world = world.clone().with_scales(&stored.shape(&world, 8, KvLayout::Nhd), true);
        let world = world.with_q_scales(capped);
        let mut variant = Variant::default();
        variant.window = window;
        variant.soft_cap = capped.then_some(5.0);
        variant.alibi_slopes = capped.then(|| (0..world.heads).map(|h| 0.1 / (h + 1) as f32).collect());
        let attention = world.attention().with_variant(variant).with_math(stored.math);
        let how = |i: usize, most, per_call| {
            let (log, hnd, seed) = layouts[i];
            let layout = if hnd { KvLayout::Hnd } else { KvLayout::Nhd };
            How { block_size: 1 << log, layout, stored, most, per_call, seed }
        };
        let cpu = CpuBackend::new();
        // All of it decoded, one sequence at a time, on one thread.
        let decoded = pool(1).install(|| run(&cpu, &world, &attention, &how(0, 1, 1)));
        // Prefilled whole, everything in one call, on three threads.
        let prefilled = pool(3).install(|| run(&cpu, &world, &attention, &how(1, 700, 99)));
        // Anything between, on two.
        let mixed = pool(2).install(|| run(&cpu, &world, &attention, &how(2, most, per_call)));
        prop_assert!(decoded == prefilled, "prefill differs from decode");
        prop_assert!(decoded == mixed, "mixed chunks differ from decode");
    }
}

#[test]
fn a_divided_context_has_the_same_bits() {
    // Long enough that four threads divide one query's chunks among them.
    let world = World::new(9, 8, 2, 64, &[5000]);
    let shape = world.shape(16, KvLayout::Nhd, F8E4M3, F8E4M3);
    let world = world.with_scales(&shape, false);
    let (cpu, attention) = (CpuBackend::new(), world.attention());
    let tables = world.tables(&shape, 1);
    let cache = world.fill(&cpu, &shape, &tables);
    let run = |threads| {
        pool(threads).install(|| {
            let (out, lse) = world.attend(&cpu, &cache, &attention, &tables, &[(0, 4999, 5000)]);
            (bits(&out), bits(&lse))
        })
    };
    let one = run(1);
    for threads in [2, 3, 4, 16] {
        assert_eq!(run(threads), one, "{threads} threads");
    }
}
