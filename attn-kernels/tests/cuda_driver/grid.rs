//! Attention over a grid: every type and head dimension that ships, groups, block sizes, lengths at the
//! edges of blocks and chunks, variants, dynamic scales, arithmetic in FP8.

use attn_kernels::cuda::{CudaBackend, CudaDevice};
use attn_kernels::{AttentionShape, AttnMath, CacheShape, KvLayout, ReferenceBackend, Variant};
use fp8_format::ElementType::{Bf16, F8E4M3, F8E5M2, F16, Int8};

use crate::common::{World, errors};
use crate::slices::Slices;

type Queries<'a> = &'a [(usize, usize, usize)];

/// The largest error relative to the largest output, and that of each `lse`, are at most `bound`.
fn check(
    device: &CudaDevice,
    world: &World,
    shape: &CacheShape,
    attention: &AttentionShape,
    queries: Queries<'_>,
    bound: f64,
) {
    let cuda = Slices(CudaBackend::new(device.clone()));
    let tables = world.tables(shape, 7);
    let on_device = world.fill(&cuda, shape, &tables);
    let on_host = world.fill(&ReferenceBackend, shape, &tables);
    let got = world.attend(&cuda, &on_device, attention, &tables, queries);
    let want = world.attend(&ReferenceBackend, &on_host, attention, &tables, queries);
    let (worst, _) = errors(&got.0, &want.0);
    assert!(worst <= bound, "{shape:?} {attention:?}: error {worst}, at most {bound}");
    for (g, w) in got.1.iter().zip(&want.1) {
        let near = f64::from((g - w).abs()) <= bound * f64::from(w.abs().max(1.0));
        assert!(near || g == w, "{shape:?} {attention:?}: lse {g}, reference {w}");
    }
}

/// Every type × head dimension that ships; groups, block sizes and layouts take turns.
pub(crate) fn shapes(device: &CudaDevice) {
    let (groups, blocks) = ([1, 2, 3, 4, 5, 7, 8, 12, 16], [16, 8, 32, 64, 128, 256]);
    let mut turn = 0;
    for (stored, dims) in [
        (F8E4M3, &[64, 96, 128, 256][..]),
        (F8E5M2, &[64, 128]),
        (Int8, &[64, 128]),
        (F16, &[64, 128]),
        (Bf16, &[64, 128]),
    ] {
        for &d in dims {
            let group = groups[turn % groups.len()];
            let layout = if turn % 2 == 0 { KvLayout::Nhd } else { KvLayout::Hnd };
            let world = World::new(50 + turn as u64, group * 2, 2, d, &[270, 1]);
            let shape = world.shape(blocks[turn % blocks.len()], layout, stored, stored);
            let world = world.with_scales(&shape, turn % 3 != 0);
            let edges = [15, 16, 17, 255, 256, 257];
            let mut queries: Vec<_> = edges.into_iter().map(|n| (0, n - 1, n)).collect();
            queries.extend([(0, 30, 30), (1, 0, 1), (0, 250, 260)]);
            check(device, &world, &shape, &world.attention(), &queries, 2e-3);
            turn += 1;
        }
    }
    for group in groups {
        let world = World::new(80 + group as u64, group, 1, 64, &[90]);
        let shape = world.shape(16, KvLayout::Nhd, F8E4M3, F8E4M3);
        let world = world.with_scales(&shape, false);
        check(device, &world, &shape, &world.attention(), &[(0, 60, 90), (0, 89, 90)], 2e-3);
    }
}

/// Masks and changes of scores, dynamic scales, arithmetic in FP8.
pub(crate) fn variants(device: &CudaDevice) {
    let world = World::new(21, 4, 2, 64, &[600]);
    let shape = world.shape(32, KvLayout::Nhd, F8E4M3, F8E4M3);
    let plain = world.clone();
    let world = world.with_scales(&shape, false).with_q_scales(true);
    let queries = [(0, 599, 600), (0, 250, 262)];
    let changes: [fn(&mut Variant); 6] = [
        |v| v.causal = false,
        |v| v.window = Some(100),
        |v| v.soft_cap = Some(3.0),
        |v| v.alibi_slopes = Some([0.5, 0.25, 0.01, 0.0].into()),
        |v| v.sinks = Some([1.0, -2.0, 4.0, 0.0].into()),
        |v| {
            v.window = Some(300);
            v.soft_cap = Some(5.0);
            v.alibi_slopes = Some([0.1, 0.0, 0.02, 0.3].into());
            v.sinks = Some([0.5; 4].into());
        },
    ];
    for change in changes {
        let mut variant = Variant::default();
        change(&mut variant);
        let attention = world.attention().with_variant(variant);
        check(device, &world, &shape, &attention, &queries, 2e-3);
    }
    // P of exact and of f32 scores may be rounded to neighbouring codes.
    for (math, bound) in [(AttnMath::Fp8Q, 2e-3), (AttnMath::Fp8, 1e-2)] {
        check(device, &world, &shape, &world.attention().with_math(math), &queries, bound);
    }
    for stored in [F8E4M3, F8E5M2, Int8] {
        let shape = world.shape(16, KvLayout::Nhd, stored, stored).with_per_token_head(true, true);
        check(device, &plain, &shape, &plain.attention(), &queries, 2e-3);
    }
}
