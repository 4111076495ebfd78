//! Dynamic scales: one per slot and KV head, written by append.

mod common;

use attn_kernels::{
    AttnMath, Backend, CacheShape, CpuBackend, KvLayout, LayerScales, ReferenceBackend, Variant,
};
use common::{Rng, World, bits, both, check, errors};
use fp8_format::ElementType::{self, *};

const EDGES: [usize; 9] = [1, 15, 16, 17, 255, 256, 257, 513, 0];

fn queries(lens: &[usize]) -> Vec<(usize, usize, usize)> {
    let decode = lens.iter().enumerate().map(|(s, &n)| (s, n.saturating_sub(1), n));
    let prefill = lens.iter().enumerate().map(|(s, &n)| (s, n.saturating_sub(19), n));
    decode.chain(prefill).collect()
}

/// Tokens of very different size: what scales of their own are for.
fn uneven(seed: u64, heads: usize, kv_heads: usize, d: usize, lens: &[usize]) -> World {
    let mut world = World::new(seed, heads, kv_heads, d, lens);
    let mut rng = Rng::new(seed + 1);
    for side in [&mut world.k, &mut world.v] {
        for token in side.iter_mut().flat_map(|s| s.chunks_mut(d)) {
            let size = 2.0f32.powf(3.0 * rng.normal() - 2.0).min(1.5);
            token.iter_mut().for_each(|x| *x *= size);
        }
    }
    world
}

#[test]
fn against_the_reference() {
    for cpu in [CpuBackend::new(), CpuBackend::scalar()] {
        for (k, v) in [(F8E4M3, F8E4M3), (Int8, Int8), (F8E5M2, Int8), (F8E4M3Fnuz, F8E5M2Fnuz)] {
            for (k_own, v_own) in [(true, true), (true, false), (false, true)] {
                for (bs, layout) in [(16, KvLayout::Nhd), (8, KvLayout::Hnd), (256, KvLayout::Nhd)]
                {
                    let world = uneven(1, 6, 2, 64, &EDGES);
                    let shape = world.shape(bs, layout, k, v).with_per_token_head(k_own, v_own);
                    let world = world.with_scales(&shape, true);
                    let name = format!("{} {k} {k_own} {v} {v_own} {bs} {layout:?}", cpu.isa());
                    check(&name, &cpu, &world, &shape, &world.attention(), &queries(&EDGES));
                }
            }
        }
    }
}

#[test]
fn with_quantized_arithmetic() {
    let cpu = CpuBackend::new();
    let world = uneven(2, 8, 2, 64, &EDGES).with_q_scales(true);
    let shape = world.shape(16, KvLayout::Nhd, F8E4M3, F8E4M3).with_per_token_head(true, true);
    let attention = world.attention().with_math(AttnMath::Fp8Q);
    check("fp8_q", &cpu, &world, &shape, &attention, &queries(&EDGES));
    let attention = world.attention().with_math(AttnMath::Fp8);
    let [got, want] = both(&cpu, &world, &shape, &attention, &queries(&EDGES));
    let (worst, rms) = errors(&got.0, &want.0);
    assert!(worst < 1e-2 && rms < 2e-4, "{worst:.1e} {rms:.1e}");
}

/// Rows that see small tokens alone: one scale for all rounds them to zero, their own does not.
#[test]
fn keeps_tokens_that_one_scale_loses() {
    let cpu = CpuBackend::new();
    let mut variant = Variant::default();
    variant.window = Some(8);
    for (stored, size, limit) in [(F8E4M3, 5e-6, 0.03), (Int8, 2e-3, 0.006)] {
        let mut world = World::new(3, 4, 2, 64, &[300]);
        world.v[0][150 * 2 * 64..].iter_mut().for_each(|x| *x *= size);
        let attention = world.attention().with_variant(variant.clone());
        let run = |stored, own| {
            let shape = world.shape(16, KvLayout::Nhd, F32, stored).with_per_token_head(false, own);
            let world = world.clone().with_scales(&shape, false);
            both(&cpu, &world, &shape, &attention, &[(0, 200, 300)])[0].0.clone()
        };
        assert!(run(stored, false).iter().all(|x| *x == 0.0), "{stored}: not small enough");
        let (_, rms) = errors(&run(stored, true), &run(F32, false));
        assert!(rms < limit, "{stored}: {rms:.1e}");
    }
}

/// `max(absmax / MAX, 1e-6)`: the largest element becomes MAX, nothing becomes 0 / 0.
#[test]
fn scales_as_defined() {
    for (stored, code) in [(F8E4M3, 0xfe), (F8E5M2, 0xfb), (Int8, 0x81)] {
        let shape = CacheShape::new(2, 8, 1, 8, stored, stored).with_per_token_head(true, true);
        let cpu = CpuBackend::new();
        let mut cache = cpu.new_cache(shape).unwrap();
        let k = [0.0, 1.0, -3.5, 0.25, 0.0, 0.0, 0.0, 0.0];
        cpu.append(&mut cache, &LayerScales::default(), &k, &[0.0; 8], &[9]).unwrap();
        assert_eq!(cache.k().bytes()[9 * 8 + 2], code, "{stored}");
        assert_eq!(cache.v().bytes()[9 * 8..][..8], [0; 8]);
    }
}

/// A row that is not finite keeps its finite elements, and its NaN.
#[test]
fn rows_that_are_not_finite() {
    let mut world = World::new(5, 2, 1, 16, &[20]);
    world.v[0][19 * 16 + 3] = f32::NAN;
    world.v[0][18 * 16 + 4] = f32::INFINITY;
    let shape = world.shape(8, KvLayout::Nhd, F16, F8E4M3).with_per_token_head(false, true);
    let cpu = CpuBackend::new();
    let [got, want] = both(&cpu, &world, &shape, &world.attention(), &[(0, 19, 20)]);
    for (i, (g, w)) in got.0.iter().zip(&want.0).enumerate() {
        assert_eq!(g.is_nan(), i % 16 == 3, "{i}");
        assert!(g.is_nan() && w.is_nan() || (g - w).abs() < 1e-5, "{i}: {g} {w}");
    }
}

#[test]
fn copied_blocks_keep_their_scales() {
    let world = uneven(6, 4, 2, 64, &[40]);
    let shape = world.shape(16, KvLayout::Hnd, F8E4M3, Int8).with_per_token_head(true, true);
    let cpu = CpuBackend::new();
    let tables = world.tables(&shape, 3);
    let free = (1..shape.num_blocks as u32).find(|b| !tables[0].contains(b)).unwrap();
    let moved = vec![vec![tables[0][0], tables[0][1], free]];
    let copies = [(tables[0][2], free)];

    let mut cache = world.fill(&cpu, &shape, &tables);
    let wanted = world.attend(&cpu, &cache, &world.attention(), &tables, &[(0, 30, 40)]);
    cpu.copy_blocks(&mut cache, &copies).unwrap();
    let got = world.attend(&cpu, &cache, &world.attention(), &moved, &[(0, 30, 40)]);
    assert_eq!(bits(&got.0), bits(&wanted.0));

    let mut slow = world.fill(&ReferenceBackend, &shape, &tables);
    let wanted =
        world.attend(&ReferenceBackend, &slow, &world.attention(), &tables, &[(0, 30, 40)]);
    ReferenceBackend.copy_blocks(&mut slow, &copies).unwrap();
    let got = world.attend(&ReferenceBackend, &slow, &world.attention(), &moved, &[(0, 30, 40)]);
    assert_eq!(got, wanted);
}

/// Threads that share an append store what one does.
#[test]
fn appends_the_same_on_any_threads() {
    for stored in [F8E4M3, Int8, F16, ElementType::F32] {
        let world = World::new(7, 4, 4, 64, &[1100]);
        let own = stored.is_quantized();
        let shape = world.shape(16, KvLayout::Nhd, stored, stored).with_per_token_head(own, own);
        let cpu = CpuBackend::new();
        let tables = world.tables(&shape, 3);
        let fill = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| world.fill(&cpu, &shape, &tables))
        };
        let (one, three) = (fill(1), fill(3));
        assert_eq!(one.k().bytes(), three.k().bytes());
        assert_eq!(one.v().bytes(), three.v().bytes());
        let run =
            |cache| world.attend(&cpu, cache, &world.attention(), &tables, &[(0, 1090, 1100)]);
        assert_eq!(run(&one), run(&three));
    }
}

/// Scales that append would not write, but other caches may bring: whatever power of two they all
/// are multiplied by, results are multiplied by, to the bit.
#[test]
fn scales_of_any_size() {
    for (cpu, powers) in [
        (CpuBackend::new(), vec![-85, -70, -57, -30, 60]),
        (CpuBackend::scalar(), vec![-85, -70, 60]),
    ] {
        for stored in [F8E4M3, F8E5M2, F8E4M3Fnuz, F8E5M2Fnuz, Int8] {
            for heads in [2, 8, 20] {
                let mut world = World::new(8, heads, 2, 64, &[600]);
                // No sum over tokens is near 0, so none is subnormal.
                world.v[0].iter_mut().for_each(|x| *x = x.abs() + 0.5);
                let shape = world.shape(16, KvLayout::Nhd, stored, stored);
                let shape = shape.with_per_token_head(true, true);
                let tables = world.tables(&shape, 3);
                let mut cache = world.fill(&cpu, &shape, &tables);
                let mut host = vec![0; tables[0].len() * shape.block_bytes()];
                cpu.swap_out(&cache, &tables[0], &mut host).unwrap();
                let scales = 4 * 16 * 2;
                // Weighted sums over tokens are larger than any f32 here; only what a conversion
                // leaves out makes room for them.
                let room = (cpu.isa() == "avx2" && stored != Int8).then_some(124);
                for &power in powers.iter().chain(&room) {
                    let mut scaled = host.clone();
                    for block in scaled.chunks_exact_mut(shape.block_bytes()) {
                        let at = block.len() - scales;
                        for x in block[at..].as_chunks_mut::<4>().0 {
                            *x = (f32::from_le_bytes(*x) * 2.0f32.powi(power)).to_le_bytes();
                        }
                    }
                    let mut run = |host| {
                        cpu.swap_in(&mut cache, &tables[0], host).unwrap();
                        let queries = [(0, 599, 600), (0, 570, 590)];
                        world.attend(&cpu, &cache, &world.attention(), &tables, &queries)
                    };
                    let (mut wanted, got) = (run(&host), run(&scaled));
                    wanted.0.iter_mut().for_each(|x| *x *= 2.0f32.powi(power));
                    let name = format!("{} {stored} {heads} 2^{power}", cpu.isa());
                    assert!(wanted.0.iter().all(|x| x.is_normal()), "{name}");
                    assert!(bits(&got.0) == bits(&wanted.0), "{name}");
                    assert!(bits(&got.1) == bits(&wanted.1), "{name}");
                }
            }
        }
    }
}

/// Small scales of K beside large queries: the scores are of the usual size.
#[test]
fn small_scales_of_keys() {
    let (cpu, by) = (CpuBackend::new(), 2.0f32.powi(80));
    for stored in [F8E4M3, F8E5M2, F8E4M3Fnuz, F8E5M2Fnuz] {
        for heads in [2, 8, 20] {
            let mut world = World::new(9, heads, 2, 64, &[300]);
            let shape = world.shape(16, KvLayout::Nhd, stored, F16);
            let shape = shape.with_per_token_head(true, false);
            let tables = world.tables(&shape, 3);
            let mut cache = world.fill(&cpu, &shape, &tables);
            let queries = [(0, 299, 300), (0, 270, 290)];
            let run = |world: &World, cache: &_| {
                let (out, lse) = world.attend(&cpu, cache, &world.attention(), &tables, &queries);
                (bits(&out), bits(&lse))
            };
            let wanted = run(&world, &cache);
            let mut host = vec![0; tables[0].len() * shape.block_bytes()];
            cpu.swap_out(&cache, &tables[0], &mut host).unwrap();
            for block in host.chunks_exact_mut(shape.block_bytes()) {
                for x in block[16 * 2 * 64..][..4 * 16 * 2].as_chunks_mut::<4>().0 {
                    *x = (f32::from_le_bytes(*x) / by).to_le_bytes();
                }
            }
            cpu.swap_in(&mut cache, &tables[0], &host).unwrap();
            world.q[0].iter_mut().for_each(|x| *x *= by);
            assert!(run(&world, &cache) == wanted, "{stored} {heads}");
        }
    }
}
