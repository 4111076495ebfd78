//! Window, soft cap, ALiBi and sinks against the reference; NaN in and out; shared prefixes.

mod common;

use attn_kernels::{Backend, Batch, CpuBackend, KvLayout, ReferenceBackend, Variant, merge_states};
use common::{World, assert_close, bits, check};
use fp8_format::ElementType::{self, *};

fn variants(heads: usize) -> Vec<(String, Variant)> {
    let slopes: Box<[f32]> = (0..heads).map(|h| 0.5f32.powi(h as i32 + 1)).collect();
    let sinks: Box<[f32]> = (0..heads).map(|h| h as f32 - 2.0).collect();
    let mut all = Vec::new();
    for window in [None, Some(1), Some(16), Some(256), Some(300)] {
        for bit in 0..8 {
            let mut v = Variant::default();
            v.window = window;
            v.soft_cap = (bit & 1 != 0).then_some(3.0);
            v.alibi_slopes = (bit & 2 != 0).then(|| slopes.clone());
            v.sinks = (bit & 4 != 0).then(|| sinks.clone());
            all.push((format!("{v:?}"), v));
        }
    }
    all
}

#[test]
fn every_variant() {
    let lens = [1, 17, 257, 600];
    let queries = [(0, 0, 1), (1, 0, 17), (2, 256, 257), (3, 560, 600), (3, 599, 600)];
    for cpu in [CpuBackend::new(), CpuBackend::scalar()] {
        let world = World::new(11, 6, 2, 32, &lens);
        let shape = world.shape(16, KvLayout::Nhd, F8E4M3, F8E4M3);
        let world = world.with_scales(&shape, true);
        for (name, variant) in variants(6) {
            let attention = world.attention().with_variant(variant);
            check(&name, &cpu, &world, &shape, &attention, &queries);
        }
    }
}

#[test]
fn sinks_alone_and_no_keys_at_all() {
    let world = World::new(12, 2, 1, 8, &[0]);
    let shape = world.shape(8, KvLayout::Nhd, F32, F32);
    let cpu = CpuBackend::new();
    let cache = cpu.new_cache(shape.clone()).unwrap();
    for (sinks, lse_wanted) in
        [(None, [f32::NEG_INFINITY; 2]), (Some(Box::from([0.5, -1.0])), [0.5, -1.0])]
    {
        let mut variant = Variant::default();
        variant.causal = false;
        variant.sinks = sinks;
        let mut batch = Batch::new();
        batch.push(1, 0, []);
        let attention = world.attention().with_variant(variant);
        let plan = cpu.plan(&shape, &attention, &batch).unwrap();
        let (mut out, mut lse) = ([f32::NAN; 16], [f32::NAN; 2]);
        cpu.attention(&plan, &cache, &world.scales, &[1.0; 16], &mut out, Some(&mut lse)).unwrap();
        assert_eq!(out, [0.0; 16]);
        assert_eq!(lse, lse_wanted);
    }
}

/// A NaN in a valid slot reaches the rows that see it, and no other.
#[test]
fn a_stored_nan_comes_out() {
    for stored in [F32, F16, Bf16, F8E4M3, F8E5M2, F8E4M3Fnuz, F8E5M2Fnuz] {
        for (heads, in_k) in [(2, true), (2, false), (6, true), (6, false), (18, true), (18, false)]
        {
            nan_case(stored, heads, in_k);
        }
    }
}

fn nan_case(stored: ElementType, heads: usize, in_k: bool) {
    let at = 270;
    let mut world = World::new(13, heads, 2, 64, &[300]);
    let shape = world.shape(16, KvLayout::Nhd, stored, stored);
    let side = if in_k { &mut world.k } else { &mut world.v };
    side[0][at * 2 * 64 + 5] = f32::NAN; // KV head 0
    let world = world.with_scales(&shape, false);
    let cpu = CpuBackend::new();
    let tables = world.tables(&shape, 3);
    let cache = world.fill(&cpu, &shape, &tables);
    let (out, _) = world.attend(&cpu, &cache, &world.attention(), &tables, &[(0, 200, 300)]);
    for (i, row) in out.chunks_exact(64).enumerate() {
        let (token, head) = (200 + i / heads, i % heads);
        let name = format!("{stored} token {token} head {head} in_k {in_k}");
        let sees = token >= at && head < heads / 2;
        for (e, x) in row.iter().enumerate() {
            assert_eq!(x.is_nan(), sees && (in_k || e == 5), "{name} element {e}: {x}");
        }
    }
    // One query token at a time takes another path: the same bits.
    let (one, _) = world.attend(&cpu, &cache, &world.attention(), &tables, &[(0, 285, 286)]);
    let rows = 85 * heads * 64..86 * heads * 64;
    let canonical = |x: &[f32]| {
        bits(x).into_iter().map(|b| if b << 1 > 0xff00_0000 { 0x7fc0_0000 } else { b }).collect()
    };
    let (a, b): (Vec<u32>, Vec<u32>) = (canonical(&one), canonical(&out[rows]));
    assert_eq!(a, b);
}

#[test]
fn e5m2_infinities_come_out() {
    let mut world = World::new(14, 2, 1, 16, &[20]);
    world.v[0][19 * 16 + 3] = 60000.0;
    let shape = world.shape(16, KvLayout::Nhd, F16, F8E5M2);
    let cpu = CpuBackend::new();
    let tables = world.tables(&shape, 3);
    let mut cache = world.fill(&cpu, &shape, &tables);
    // Saturating appends never store an infinity: write its code.
    let at = (tables[0][1] as usize * 16 + 3) * 16 + 3;
    cache.buffers_mut().1.bytes_mut()[at] = 0x7c;
    let (out, _) = world.attend(&cpu, &cache, &world.attention(), &tables, &[(0, 19, 20)]);
    assert_eq!(out[3], f32::INFINITY);
    assert!(out[4].is_finite());
}

#[test]
fn a_prefix_merged_with_a_suffix_is_the_whole() {
    let (lens, split) = ([400], 256);
    let world = World::new(15, 8, 2, 64, &lens);
    let shape = world.shape(16, KvLayout::Nhd, F8E4M3, F8E4M3);
    let world = world.with_scales(&shape, true);
    let cpu = CpuBackend::new();
    let tables = world.tables(&shape, 3);
    let cache = world.fill(&cpu, &shape, &tables);
    let attend = |causal: bool, kv_len: usize, table: &[u32]| {
        let mut variant = Variant::default();
        variant.causal = causal;
        let attention = world.attention().with_variant(variant);
        let mut batch = Batch::new();
        batch.push(10, kv_len, table.iter().copied());
        let plan = cpu.plan(&shape, &attention, &batch).unwrap();
        let q = &world.q[0][390 * 8 * 64..];
        let (mut out, mut lse) = (vec![0.0; q.len()], vec![0.0; 80]);
        cpu.attention(&plan, &cache, &world.scales, q, &mut out, Some(&mut lse)).unwrap();
        (out, lse)
    };
    let (mut out, mut lse) = attend(true, 400 - split, &tables[0][split / 16..]);
    let prefix = attend(false, split, &tables[0][..split / 16]);
    merge_states(64, &mut out, &mut lse, &prefix.0, &prefix.1).unwrap();
    let slow = world.fill(&ReferenceBackend, &shape, &tables);
    let want =
        world.attend(&ReferenceBackend, &slow, &world.attention(), &tables, &[(0, 390, 400)]);
    assert_close("merged", &(out, lse), &want, 8.0);
    // A part without keys changes nothing, on either side.
    let (empty, none) = (vec![0.0; want.0.len()], vec![f32::NEG_INFINITY; 80]);
    let mut same = want.clone();
    merge_states(64, &mut same.0, &mut same.1, &empty, &none).unwrap();
    assert_eq!(same, want);
    let mut other = (empty, none);
    merge_states(64, &mut other.0, &mut other.1, &want.0, &want.1).unwrap();
    assert_eq!(other, want);
}

#[test]
fn copied_blocks_are_the_same_blocks() {
    for stored in [F8E4M3, F16] {
        let mut world = World::new(16, 4, 2, 64, &[40]);
        world.v[0][35 * 128] = f32::NAN; // the copy must be suspected of it too
        let shape = world.shape(16, KvLayout::Hnd, stored, stored);
        let cpu = CpuBackend::new();
        let tables = world.tables(&shape, 3);
        let mut cache = world.fill(&cpu, &shape, &tables);
        let wanted = world.attend(&cpu, &cache, &world.attention(), &tables, &[(0, 30, 40)]);
        let free = (1..shape.num_blocks as u32).find(|b| !tables[0].contains(b)).unwrap();
        // A chain: the source of the second copy is the destination of the first.
        cpu.copy_blocks(&mut cache, &[(tables[0][2], free), (free, 0)]).unwrap();
        for block in [free, 0] {
            let moved = vec![vec![tables[0][0], tables[0][1], block]];
            let got = world.attend(&cpu, &cache, &world.attention(), &moved, &[(0, 30, 40)]);
            assert_eq!(bits(&got.0), bits(&wanted.0));
        }
    }
}
