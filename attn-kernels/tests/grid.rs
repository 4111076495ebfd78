//! The CPU backend against the f64 reference, over a grid of shapes.

mod common;

use attn_kernels::{CpuBackend, KvLayout, Variant};
use common::{World, check};
use fp8_format::ElementType::{self, *};

const EDGES: [usize; 9] = [1, 15, 16, 17, 255, 256, 257, 513, 0];
const TYPES: [ElementType; 8] = ElementType::ALL;

/// Decode (one query token), and a few prefill rows, at lengths around every block and chunk edge.
fn edges(lens: &[usize]) -> Vec<(usize, usize, usize)> {
    let decode = lens.iter().enumerate().map(|(s, &n)| (s, n.saturating_sub(1), n));
    let prefill = lens.iter().enumerate().map(|(s, &n)| (s, n.saturating_sub(19), n));
    decode.chain(prefill).collect()
}

#[test]
fn every_pair_of_types() {
    let cpu = CpuBackend::new();
    for k in TYPES {
        for v in TYPES {
            let world = World::new(1, 6, 2, 64, &EDGES);
            let shape = world.shape(16, KvLayout::Nhd, k, v);
            let world = world.with_scales(&shape, false);
            check(&format!("{k} {v}"), &cpu, &world, &shape, &world.attention(), &edges(&EDGES));
        }
    }
}

#[test]
fn every_head_dim_and_group() {
    let cpu = CpuBackend::new();
    for d in [8, 16, 24, 40, 64, 72, 80, 96, 128, 192, 256, 512, 1024] {
        for group in [1, 2, 3, 4, 5, 7, 8, 9] {
            let lens = [1, 17, 259];
            let world = World::new(2, group * 2, 2, d, &lens);
            let shape = world.shape(16, KvLayout::Hnd, F8E4M3, F8E5M2);
            let world = world.with_scales(&shape, true);
            let queries = [(0, 0, 1), (1, 16, 17), (2, 258, 259), (1, 2, 17)];
            check(&format!("d {d}, g {group}"), &cpu, &world, &shape, &world.attention(), &queries);
        }
    }
}

#[test]
fn every_block_size_and_layout() {
    let cpu = CpuBackend::new();
    for bs in [8, 16, 32, 64, 128, 256] {
        for layout in [KvLayout::Nhd, KvLayout::Hnd] {
            for (heads, kv_heads) in [(9, 3), (8, 8), (8, 1)] {
                let world = World::new(3, heads, kv_heads, 64, &EDGES);
                let shape = world.shape(bs, layout, F8E4M3, F16);
                let world = world.with_scales(&shape, true);
                let name = format!("block {bs} {layout:?} {heads}/{kv_heads}");
                check(&name, &cpu, &world, &shape, &world.attention(), &edges(&EDGES));
            }
        }
    }
}

#[test]
fn scalar_code_too() {
    let cpu = CpuBackend::scalar();
    assert_eq!(cpu.isa(), "scalar");
    for (k, v) in [(F32, F32), (F8E4M3, Bf16), (Int8, F8E5M2), (F16, F8E4M3Fnuz)] {
        let world = World::new(4, 6, 2, 24, &EDGES);
        let shape = world.shape(8, KvLayout::Nhd, k, v);
        let world = world.with_scales(&shape, true);
        check(&format!("{k} {v}"), &cpu, &world, &shape, &world.attention(), &edges(&EDGES));
    }
}

#[test]
fn large_logits() {
    let cpu = CpuBackend::new();
    for sigma in [5.0, 20.0] {
        let mut world = World::new(5, 4, 1, 128, &[700]);
        world.q[0].iter_mut().for_each(|x| *x *= sigma);
        let shape = world.shape(16, KvLayout::Nhd, F8E4M3, F8E4M3);
        let world = world.with_scales(&shape, false);
        check("large", &cpu, &world, &shape, &world.attention(), &[(0, 680, 700)]);
    }
}

#[test]
fn subnormal_codes_are_exact() {
    // Scales of 1 and values of 2^-9 … 2^-6: every code is subnormal or zero.
    let cpu = CpuBackend::new();
    for stored in [F8E4M3, F8E5M2, F8E4M3Fnuz, F8E5M2Fnuz] {
        let mut world = World::new(6, 4, 2, 64, &[300]);
        let tiny = if matches!(stored, F8E4M3 | F8E4M3Fnuz) { 0.003 } else { 0.00001 };
        world.k[0].iter_mut().for_each(|x| *x *= tiny);
        world.v[0].iter_mut().for_each(|x| *x *= tiny);
        let shape = world.shape(16, KvLayout::Nhd, stored, stored);
        check(stored.name(), &cpu, &world, &shape, &world.attention(), &[(0, 280, 300)]);
    }
}

/// The grid of vLLM's CPU attention test. Its tolerance is 1.5e-2 + 1e-2 |x|, on bf16; ours here is
/// that of default arithmetic, and vLLM's against the numbers before they were rounded.
#[test]
fn the_grid_of_vllm() {
    let cpu = CpuBackend::new();
    let lens = [213, 1, 312, 560, 523, 150];
    let queries =
        [(0, 212, 213), (1, 0, 1), (2, 311, 312), (3, 553, 560), (4, 522, 523), (5, 143, 150)];
    for (heads, kv_heads) in [(4, 4), (8, 2), (9, 3)] {
        for d in [96, 128, 512] {
            for window in [None, Some(256)] {
                for (k, v) in [(Bf16, Bf16), (F8E4M3, F8E4M3)] {
                    let world = World::new(21, heads, kv_heads, d, &lens);
                    let mut variant = Variant::default();
                    variant.window = window;
                    let attention = world.attention().with_variant(variant);
                    let shape = world.shape(16, KvLayout::Nhd, k, v);
                    let scaled = world.clone().with_scales(&shape, false);
                    let name = format!("{heads}/{kv_heads} d {d} {window:?} {k}");
                    check(&name, &cpu, &scaled, &shape, &attention, &queries);
                    if k == Bf16 {
                        let run = |shape| {
                            let tables = world.tables(shape, 7);
                            let cache = world.fill(&cpu, shape, &tables);
                            world.attend(&cpu, &cache, &attention, &tables, &queries)
                        };
                        let (got, want) =
                            (run(&shape), run(&world.shape(16, KvLayout::Nhd, F32, F32)));
                        for (g, w) in got.0.iter().zip(&want.0) {
                            assert!((g - w).abs() <= 1.5e-2 + 1e-2 * w.abs(), "{name}: {g} {w}");
                        }
                    }
                }
            }
        }
    }
}
