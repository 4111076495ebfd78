//! Tokens and blocks that leave a cache: gathered, copied to another, swapped to the host and back.

mod common;

use attn_kernels::{
    Backend, CacheShape, CpuBackend, CpuBuffer, HeadAbsmax, KvCache, KvLayout, ReferenceBackend,
};
use common::{World, bits};
use fp8_format::ElementType::{self, *};

/// A world of one sequence whose V has a NaN in its third block, its cache and its block table.
fn start(stored: ElementType, own: bool) -> (World, KvCache<CpuBuffer>, Vec<Vec<u32>>) {
    let mut world = World::new(16, 4, 2, 64, &[40]);
    world.v[0][35 * 128 + 3] = f32::NAN;
    let shape = world.shape(16, KvLayout::Hnd, stored, stored).with_per_token_head(own, own);
    let world = world.with_scales(&shape, true);
    let tables = world.tables(&shape, 3);
    let cache = world.fill(&CpuBackend::new(), &shape, &tables);
    (world, cache, tables)
}

const KINDS: [(ElementType, bool); 4] =
    [(F8E4M3, false), (F8E4M3, true), (Int8, true), (F16, false)];

fn attend(world: &World, cache: &KvCache<CpuBuffer>, table: &[u32]) -> Vec<u32> {
    let tables = [table.to_vec()];
    bits(&world.attend(&CpuBackend::new(), cache, &world.attention(), &tables, &[(0, 30, 40)]).0)
}

#[test]
fn to_another_cache_of_another_size() {
    let cpu = CpuBackend::new();
    for (stored, own) in KINDS {
        let (world, cache, tables) = start(stored, own);
        let mut shape = cache.shape().clone();
        shape.num_blocks = 9;
        let mut other = cpu.new_cache(shape).unwrap();
        let moved = [7, 2, 4];
        let copies: Vec<_> = tables[0].iter().copied().zip(moved).collect();
        cpu.copy_blocks_from(&mut other, &cache, &copies).unwrap();
        assert_eq!(attend(&world, &other, &moved), attend(&world, &cache, &tables[0]), "{stored}");
    }
}

#[test]
fn to_the_host_and_back() {
    let cpu = CpuBackend::new();
    for (stored, own) in KINDS {
        let (world, mut cache, tables) = start(stored, own);
        let wanted = attend(&world, &cache, &tables[0]);
        let mut host = vec![0; 3 * cache.shape().block_bytes()];
        cpu.swap_out(&cache, &tables[0], &mut host).unwrap();
        // The blocks are somebody else's meanwhile: K and V of another kind, and no NaN.
        let slots: Vec<i64> = (0..cache.shape().num_slots() as i64).collect();
        let ones = vec![1.0; slots.len() * 128];
        cpu.append(&mut cache, &world.scales, &ones, &ones, &slots).unwrap();
        assert_ne!(attend(&world, &cache, &tables[0]), wanted);
        let back: Vec<u32> = tables[0].iter().rev().copied().collect();
        cpu.swap_in(&mut cache, &back, &host).unwrap();
        assert_eq!(attend(&world, &cache, &back), wanted, "{stored}");
        // A fresh cache has no note of the NaN until the block arrives.
        let mut fresh = cpu.new_cache(cache.shape().clone()).unwrap();
        cpu.swap_in(&mut fresh, &back, &host).unwrap();
        assert_eq!(attend(&world, &fresh, &back), wanted, "{stored}");
    }
}

#[test]
fn gathered_as_numbers() {
    let cpu = CpuBackend::new();
    for (stored, own) in KINDS {
        for layout in [KvLayout::Nhd, KvLayout::Hnd] {
            let world = World::new(17, 4, 2, 64, &[40]);
            let shape = world.shape(16, layout, stored, stored).with_per_token_head(own, own);
            let world = world.with_scales(&shape, true);
            let tables = world.tables(&shape, 3);
            let (fast, slow) =
                (world.fill(&cpu, &shape, &tables), world.fill(&ReferenceBackend, &shape, &tables));
            for tokens in [0..40, 7..33, 16..16, 39..40] {
                let n = tokens.len() * 128;
                let mut got = [vec![f32::NAN; n], vec![f32::NAN; n]];
                let mut want = got.clone();
                let [k, v] = &mut got;
                cpu.gather(&fast, &world.scales, &tables[0], tokens.clone(), k, v).unwrap();
                let [k, v] = &mut want;
                let of = tokens.clone();
                ReferenceBackend.gather(&slow, &world.scales, &tables[0], of, k, v).unwrap();
                assert_eq!(got, want, "{stored} {tokens:?}");
                // They are the world's, up to the rounding of storage (half a step of INT8's 0.09).
                let at = tokens.start * 128..tokens.end * 128;
                for (got, given) in got.iter().zip([&world.k[0], &world.v[0]]) {
                    for (g, w) in got.iter().zip(&given[at.clone()]) {
                        assert!((g - w).abs() < 0.07 * w.abs() + 0.06, "{stored} {g} {w}");
                    }
                }
            }
        }
    }
}

#[test]
fn absmax_per_head() {
    let cpu = CpuBackend::new();
    let world = World::new(18, 4, 4, 64, &[1030]);
    let shape = world.shape(16, KvLayout::Nhd, F8E4M3, F8E4M3);
    let world = world.with_scales(&shape, true);
    let absmax = |x: &[f32], head: usize| {
        let rows = x.chunks(64).skip(head).step_by(4).flatten();
        rows.fold(0.0f32, |m, x| m.max(x.abs()))
    };
    for (threads, step) in [(1, 1030), (3, 1030), (1, 100)] {
        let mut cache = cpu.new_cache(shape.clone()).unwrap();
        let mut seen = HeadAbsmax::new(4);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        for from in (0..1030).step_by(step) {
            let to = 1030.min(from + step);
            let slots: Vec<i64> = (from as i64..to as i64).collect();
            let (k, v) = (&world.k[0][from * 256..to * 256], &world.v[0][from * 256..to * 256]);
            let append = || cpu.append_observed(&mut cache, &world.scales, k, v, &slots, &mut seen);
            pool.install(append).unwrap();
        }
        for head in 0..4 {
            assert_eq!(seen.k[head], absmax(&world.k[0], head));
            assert_eq!(seen.v[head], absmax(&world.v[0], head));
        }
        // What is not stored is not seen; a NaN stays.
        let before = seen.clone();
        let loud = vec![1e9; 256];
        cpu.append_observed(&mut cache, &world.scales, &loud, &loud, &[-1], &mut seen).unwrap();
        assert_eq!(seen, before);
        let mut nan = vec![0.0; 512];
        nan[65] = f32::NAN; // head 1
        cpu.append_observed(&mut cache, &world.scales, &nan, &nan, &[0, 1], &mut seen).unwrap();
        assert!(seen.k[1].is_nan() && seen.v[1].is_nan() && seen.k[0] == before.k[0]);
    }
}

#[test]
fn memory_is_told() {
    let cpu = CpuBackend::new();
    let shape = CacheShape::new(64, 16, 8, 128, F8E4M3, F8E4M3).with_per_token_head(true, false);
    let mut cache = cpu.new_cache(shape.clone()).unwrap();
    let stats = cpu.memory_stats(&cache);
    assert_eq!(stats.bytes, shape.bytes());
    assert_eq!(stats.bytes, 64 * 16 * 8 * (2 * 128 + 4));
    // Granted page by page, on writing; and told again at any time.
    cache.buffers_mut().1.bytes_mut().fill(1);
    let stats = cpu.memory_stats(&cache);
    assert!(stats.huge_bytes <= stats.bytes);
    assert_eq!(
        ReferenceBackend.memory_stats(&ReferenceBackend.new_cache(shape).unwrap()).huge_bytes,
        0
    );
}
