//! Attention: against the reference in f64, and bit for bit against itself cut up differently.

use attn_kernels::{AttentionShape, AttnMath, Backend, Batch, CacheShape, KvLayout};
use attn_kernels::{ReferenceBackend, Variant};
use fp8_format::ElementType::{self, Bf16, F8E4M3, F8E5M2, F16, Int8};

use crate::common::{World, bits, errors};
use crate::device::{ARCHS, Cuda, Emulated, test_ptx};

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

/// The bound against the plain reference, where Q and P are rounded to f16, or to bf16.
fn bound(k: ElementType, v: ElementType) -> f64 {
    if k == Bf16 || v == Bf16 { 8e-3 } else { 2e-3 }
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
            check(&Cuda::new(arch), &world, &shape, &attention, &queries, bound(stored, stored));
        }
    }
}

#[test]
fn cutting_up_changes_no_bit() {
    let world = World::new(11, 8, 2, 64, &[700]);
    let shape = world.shape(16, KvLayout::Hnd, F8E4M3, F8E4M3);
    let world = world.with_scales(&shape, false);
    let tables = world.tables(&shape, 7);
    let attention = world.attention();
    let run = |wanted: usize, queries: &[(usize, usize, usize)]| {
        let cuda = Cuda::with(Emulated::new("sm_90a").wanting(wanted));
        let cache = world.fill(&cuda, &shape, &tables);
        let (out, lse) = world.attend(&cuda, &cache, &attention, &tables, queries);
        (bits(&out), bits(&lse))
    };
    let whole = run(1, &[(0, 690, 700)]);
    assert_eq!(run(1000, &[(0, 690, 700)]), whole, "split");
    assert_eq!(run(5, &[(0, 690, 693), (0, 693, 700)]), whole, "chunked prefill");
    let one_by_one: Vec<_> = (690..700).map(|t| (0, t, t + 1)).collect();
    assert_eq!(run(40, &one_by_one), whole, "decode");
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
fn k_and_v_stored_differently() {
    for arch in ["sm_80", "sm_90a"] {
        for (k, v) in [(F16, F8E4M3), (Bf16, Int8), (F8E4M3, Bf16), (Int8, F16), (F8E5M2, F8E4M3)] {
            let file = test_ptx(&format!("attention_{}_{}", short(k), short(v)), arch);
            if !file.is_file() {
                assert!(std::env::var_os("CI").is_none(), "{} is missing", file.display());
                println!("skipped: no {}; `cargo xtask kernels --tests` makes it", file.display());
                continue;
            }
            for d in [64, 96] {
                let world = World::new(41, 6, 2, d, &[280]);
                let shape = world.shape(16, KvLayout::Nhd, k, v);
                let world = world.with_scales(&shape, true);
                let queries = [(0, 279, 280), (0, 250, 260)];
                check(&Cuda::new(arch), &world, &shape, &world.attention(), &queries, bound(k, v));
            }
        }
    }
}

fn short(stored: ElementType) -> &'static str {
    match stored {
        F8E4M3 => "e4m3",
        F8E5M2 => "e5m2",
        Int8 => "int8",
        F16 => "f16",
        _ => "bf16",
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

#[test]
fn arithmetic_in_fp8() {
    for (arch, stored) in [("sm_80", F8E4M3), ("sm_89", F8E4M3), ("sm_90a", F8E5M2)] {
        let world = World::new(71, 4, 2, 64, &[400]);
        let shape = world.shape(16, KvLayout::Nhd, stored, stored);
        let world = world.with_scales(&shape, true).with_q_scales(true);
        for math in [AttnMath::Fp8Q, AttnMath::Fp8] {
            let attention = world.attention().with_math(math);
            let queries = [(0, 399, 400), (0, 250, 262)];
            // P of exact and of f32 scores may be rounded to neighbouring codes.
            let bound = if math == AttnMath::Fp8Q { 2e-3 } else { 1e-2 };
            check(&Cuda::new(arch), &world, &shape, &attention, &queries, bound);
        }
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
