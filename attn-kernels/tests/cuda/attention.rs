//! Attention: against the reference in f64, and bit for bit against itself cut up differently.

use attn_kernels::{AttentionShape, AttnMath, Backend, Batch, CacheShape, KvLayout};
use attn_kernels::{CpuBackend, ReferenceBackend, Variant};
use fp8_format::ElementType::{Bf16, F8E4M3, F8E5M2, F16, Int8};

use crate::common::{World, bits, errors};
use crate::device::{ARCHS, Cuda, Emulated};

/// Runs a world on the emulated device and on the reference; the largest error, relative to the
/// largest output, is at most `bound`.
fn check(
    cuda: &Cuda,
    world: &World,
    shape: &CacheShape,
    attention: &AttentionShape,
    queries: &[(usize, usize, usize)],
    bound: f64,
) -> f64 {
    let tables = world.tables(shape, 7);
    let device = world.fill(cuda, shape, &tables);
    let host = world.fill(&ReferenceBackend, shape, &tables);
    let got = world.attend(cuda, &device, attention, &tables, queries);
    let want = world.attend(&ReferenceBackend, &host, attention, &tables, queries);
    let (worst, _) = errors(&got.0, &want.0);
    assert!(worst <= bound, "{shape:?} {attention:?}: error {worst}, at most {bound}");
    for (i, (g, w)) in got.1.iter().zip(&want.1).enumerate() {
        assert!(
            f64::from((g - w).abs()) <= bound * f64::from(w.abs().max(1.0)) || g == w,
            "lse[{i}] {g}, reference {w}"
        );
    }
    worst
}

#[test]
fn every_type_on_every_architecture() {
    for arch in ARCHS {
        for stored in [F8E4M3, F8E5M2, Int8, F16, Bf16] {
            let world = World::new(3, 8, 2, 64, &[300, 17]);
            let shape = world.shape(16, KvLayout::Nhd, stored, stored);
            let world = world.with_scales(&shape, true);
            // Decode, and a prefill of 20 tokens over the chunk's edge.
            let queries = [(0, 299, 300), (1, 0, 17), (0, 245, 265)];
            let attention = world.attention();
            check(&Cuda::new(arch), &world, &shape, &attention, &queries, 2e-3);
        }
    }
}

#[test]
fn cutting_up_changes_no_bit() {
    for (arch, math) in
        [("sm_90a", AttnMath::Default), ("sm_89", AttnMath::Fp8), ("sm_120a", AttnMath::Fp8)]
    {
        let world = World::new(11, 8, 2, 64, &[700]);
        let run = |bs: usize, wanted: usize, queries: &[(usize, usize, usize)]| {
            let shape = world.shape(bs, KvLayout::Hnd, F8E4M3, F8E4M3);
            let world = world.clone().with_scales(&shape, false).with_q_scales(true);
            let (tables, attention) = (world.tables(&shape, 7), world.attention().with_math(math));
            let cuda = Cuda::with(Emulated::new(arch).wanting(wanted));
            let cache = world.fill(&cuda, &shape, &tables);
            let (out, lse) = world.attend(&cuda, &cache, &attention, &tables, queries);
            (bits(&out), bits(&lse))
        };
        let whole = run(16, 1, &[(0, 690, 700)]);
        assert_eq!(run(16, 1000, &[(0, 690, 700)]), whole, "{arch} {math}: split");
        assert_eq!(run(64, 1, &[(0, 690, 700)]), whole, "{arch} {math}: block size");
        let chunks = [(0, 690, 693), (0, 693, 700)];
        assert_eq!(run(16, 5, &chunks), whole, "{arch} {math}: chunked prefill");
        let one_by_one: Vec<_> = (690..700).map(|t| (0, t, t + 1)).collect();
        assert_eq!(run(32, 40, &one_by_one), whole, "{arch} {math}: decode");
        let beside: Vec<_> = [(0, 100, 110), (0, 690, 700)].into();
        let (out, lse) = run(16, 7, &beside);
        assert_eq!((&out[out.len() / 2..], &lse[lse.len() / 2..]), (&whole.0[..], &whole.1[..]));
    }
}

#[test]
fn variants() {
    let world = World::new(21, 4, 2, 64, &[600]);
    let shape = world.shape(32, KvLayout::Nhd, F8E4M3, F8E4M3);
    let world = world.with_scales(&shape, false);
    let queries = [(0, 599, 600), (0, 250, 262)];
    let base = world.attention();
    let variant = |f: fn(&mut Variant)| {
        let mut v = Variant::default();
        f(&mut v);
        base.clone().with_variant(v)
    };
    let all = [
        variant(|v| v.causal = false),
        variant(|v| v.window = Some(100)),
        variant(|v| v.window = Some(1)),
        variant(|v| v.soft_cap = Some(3.0)),
        variant(|v| v.alibi_slopes = Some([0.5, 0.25, 0.01, 0.0].into())),
        variant(|v| v.sinks = Some([1.0, -2.0, 4.0, 0.0].into())),
        variant(|v| {
            v.window = Some(300);
            v.soft_cap = Some(5.0);
            v.alibi_slopes = Some([0.1, 0.0, 0.02, 0.3].into());
            v.sinks = Some([0.5; 4].into());
        }),
    ];
    for attention in &all {
        for wanted in [1, 100] {
            let cuda = Cuda::with(Emulated::new("sm_89").wanting(wanted));
            check(&cuda, &world, &shape, attention, &queries, 2e-3);
        }
    }
}

#[test]
fn every_group_head_dim_and_block_size() {
    for (i, (group, d, bs)) in [
        (1, 64, 8),
        (2, 96, 16),
        (3, 128, 32),
        (4, 256, 64),
        (5, 64, 128),
        (7, 96, 256),
        (8, 128, 16),
        (12, 64, 16),
        (16, 128, 16),
    ]
    .into_iter()
    .enumerate()
    {
        let arch = ARCHS[i % ARCHS.len()];
        let world = World::new(50 + i as u64, group * 2, 2, d, &[270, 1]);
        let layout = if i % 2 == 0 { KvLayout::Nhd } else { KvLayout::Hnd };
        let shape = world.shape(bs, layout, F8E4M3, F8E4M3);
        let world = world.with_scales(&shape, true);
        // Edges of blocks and chunks, an empty run of queries, a sequence of one token.
        let edges = [15, 16, 17, 255, 256, 257];
        let mut queries: Vec<_> = edges.into_iter().map(|n| (0, n - 1, n)).collect();
        queries.extend([(0, 30, 30), (1, 0, 1), (0, 250, 260)]);
        check(&Cuda::new(arch), &world, &shape, &world.attention(), &queries, 2e-3);
    }
}

#[test]
fn dynamic_scales() {
    for (arch, stored) in
        [("sm_80", F8E4M3), ("sm_89", F8E4M3), ("sm_90a", Int8), ("sm_120a", F8E5M2)]
    {
        let mut world = World::new(61, 4, 2, 64, &[400]);
        // Tokens of very different size: one range for all would lose the small ones.
        for side in [&mut world.k, &mut world.v] {
            for (i, row) in side[0].chunks_mut(64).enumerate() {
                row.iter_mut().for_each(|x| *x *= [1.0, 0.01, 3.0, 1e-4][i % 4]);
            }
        }
        let shape = world.shape(16, KvLayout::Nhd, stored, stored).with_per_token_head(true, true);
        for wanted in [1, 100] {
            let cuda = Cuda::with(Emulated::new(arch).wanting(wanted));
            let queries = [(0, 399, 400), (0, 250, 262)];
            check(&cuda, &world, &shape, &world.attention(), &queries, 2e-3);
        }
    }
}

/// FP8 arithmetic, on codes where tensor cores take them (sm_89, sm_120a) and on numbers elsewhere, is
/// the CPU's: but for weights that f32 puts on the other side of a tie, as `tests/maths.rs` has it for
/// the CPU and the reference.
#[test]
fn arithmetic_in_fp8_is_the_cpus() {
    for (i, arch) in ARCHS.into_iter().enumerate() {
        for (stored, d, group) in [(F8E4M3, 64, 2), (F8E4M3, 128, 5), (F8E5M2, 64, 4)] {
            let world = World::new(71 + i as u64, 2 * group, 2, d, &[400]);
            let shape = world.shape(16, KvLayout::Nhd, stored, stored);
            let world = world.with_scales(&shape, true).with_q_scales(true);
            let tables = world.tables(&shape, 7);
            for math in [AttnMath::Fp8Q, AttnMath::Fp8] {
                let attention = world.attention().with_math(math);
                let queries = [(0, 399, 400), (0, 250, 262)];
                let (cuda, cpu) = (Cuda::new(arch), CpuBackend::new());
                let (device, host) =
                    (world.fill(&cuda, &shape, &tables), world.fill(&cpu, &shape, &tables));
                let got = world.attend(&cuda, &device, &attention, &tables, &queries);
                let want = world.attend(&cpu, &host, &attention, &tables, &queries);
                let (worst, rms) = errors(&got.0, &want.0);
                println!("{arch} {stored} d {d} {math}: worst {worst:.1e}, rms {rms:.1e}");
                if math == AttnMath::Fp8Q {
                    assert!(worst <= 2e-3, "{arch} {stored} {d}: {worst}");
                    continue;
                }
                let absmax = want.0.iter().fold(0.0f32, |m, x| m.max(x.abs()));
                let off = |(g, w): &(&f32, &f32)| (*g - *w).abs() > 4e-6 * absmax;
                let differ = got.0.iter().zip(&want.0).filter(off).count() as f64;
                let share = differ / got.0.len() as f64;
                let step = if stored == F8E5M2 { 0.25 } else { 0.125 };
                assert!(
                    worst < step / 2.0 && share < 0.04,
                    "{arch} {stored} {d}: worst {worst:.1e}, {share} of the elements differ"
                );
            }
        }
    }
}

/// One token per sequence: only rows that see a NaN of V are NaN.
#[test]
fn a_nan_reaches_no_row_that_does_not_see_it() {
    for (arch, math) in [("sm_80", AttnMath::Default), ("sm_89", AttnMath::Fp8)] {
        let mut world = World::new(5, 4, 2, 64, &[300]);
        world.v[0][150 * 2 * 64] = f32::NAN;
        let shape = world.shape(16, KvLayout::Nhd, F8E4M3, F8E4M3);
        let world = world.with_scales(&shape, false).with_q_scales(false);
        let (cuda, tables) = (Cuda::new(arch), world.tables(&shape, 7));
        let cache = world.fill(&cuda, &shape, &tables);
        let mut variant = Variant::default();
        variant.window = Some(100);
        let attention = world.attention().with_math(math).with_variant(variant);
        let queries = [(0, 149, 150), (0, 150, 151), (0, 249, 250), (0, 250, 251), (0, 299, 300)];
        let (out, _) = world.attend(&cuda, &cache, &attention, &tables, &queries);
        let nan = |row: &[f32]| row.iter().any(|x| x.is_nan());
        let rows: Vec<bool> = out.chunks_exact(4 * 64).map(nan).collect();
        // Positions 150 to 249 see token 150.
        assert_eq!(rows, [false, true, true, false, false], "{arch} {math}");
    }
}

#[test]
fn what_has_no_kernel_is_refused() {
    let cuda = Cuda::new("sm_89");
    let refused = |k, v, d: usize, heads: usize, math| {
        let shape = CacheShape::new(4, 16, 1, d, k, v);
        let attention = AttentionShape::new(heads, 1.0).with_math(math);
        let mut batch = Batch::new();
        batch.push(1, 1, [1]);
        cuda.plan(&shape, &attention, &batch).unwrap_err().to_string()
    };
    let default = AttnMath::Default;
    assert!(refused(F8E4M3, F8E4M3, 72, 1, default).contains("head_dim 72"));
    assert!(refused(F8E4M3, F8E4M3, 64, 17, default).contains("17 query heads"));
    assert!(refused(F8E5M2, F16, 64, 1, default).contains("no such kernel"));
    assert!(refused(Int8, Int8, 64, 1, AttnMath::Int8).contains("int8 arithmetic"));
}
