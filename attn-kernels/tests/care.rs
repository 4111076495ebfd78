//! How codes become numbers depends on what is stored beside them; results do not. And numbers far
//! from 1 come out as well as others.

mod common;

use attn_kernels::{Backend, CacheShape, CpuBackend, KvCache, KvLayout, KvScale, LayerScales};
use common::{World, bits, check};
use fp8_format::ElementType::{self, *};

const FP8: [ElementType; 4] = [F8E4M3, F8E5M2, F8E4M3Fnuz, F8E5M2Fnuz];

/// Stores a world without the poison that `World::fill` leaves elsewhere.
fn stored(
    cpu: &CpuBackend,
    world: &World,
    shape: &CacheShape,
    tables: &[Vec<u32>],
) -> KvCache<<CpuBackend as Backend>::Buffer> {
    let mut cache = cpu.new_cache(shape.clone()).unwrap();
    for (s, table) in tables.iter().enumerate() {
        let slots = World::slots(table, shape.block_size, 0..world.kv_len(s));
        cpu.append(&mut cache, &world.scales, &world.k[s], &world.v[s], &slots).unwrap();
    }
    cache
}

/// Decode and prefill of all tokens from the 300th on.
const QUERIES: [(usize, usize, usize); 3] = [(0, 312, 313), (0, 300, 311), (0, 311, 312)];

#[test]
fn care_changes_no_bits() {
    let cpu = CpuBackend::new();
    for stored_as in FP8 {
        for (heads, d) in [(2, 64), (4, 40), (6, 96), (8, 128)] {
            for bs in [8, 64] {
                let mut world = World::new(31, heads, 2, d, &[313]);
                // Some tokens are all subnormals, so some pieces ask for care and some do not.
                let mantissa3 = matches!(stored_as, F8E4M3 | F8E4M3Fnuz);
                let tiny = if mantissa3 { 1e-4 } else { 4e-7 };
                for side in [&mut world.k, &mut world.v] {
                    for token in side[0].chunks_exact_mut(2 * d).step_by(53) {
                        token.iter_mut().for_each(|x| *x *= tiny);
                    }
                }
                let shape = world.shape(bs, KvLayout::Nhd, stored_as, stored_as);
                let world = world.with_scales(&shape, true);
                let tables = world.tables(&shape, 5);
                let attention = world.attention();
                let run = |cache: &KvCache<_>| {
                    let (out, lse) = world.attend(&cpu, cache, &attention, &tables, &QUERIES);
                    assert!(out.iter().all(|x| x.is_finite()));
                    (bits(&out), bits(&lse))
                };
                let mut cache = stored(&cpu, &world, &shape, &tables);
                let quick = run(&cache);
                // Now every piece counts as one that may hold a NaN.
                let (k, v) = cache.buffers_mut();
                let _ = (k.bytes_mut(), v.bytes_mut());
                assert!(run(&cache) == quick, "{stored_as} {heads} {d} {bs}");
                // Poison after the last token, and in no other slot.
                let mut cache = stored(&cpu, &world, &shape, &tables);
                let slots = World::slots(&tables[0], bs, 313..313usize.next_multiple_of(bs));
                let nan = vec![f32::NAN; slots.len() * 2 * d];
                cpu.append(&mut cache, &world.scales, &nan, &nan, &slots).unwrap();
                assert!(run(&cache) == quick, "poisoned {stored_as} {heads} {d} {bs}");
            }
        }
    }
}

#[test]
fn without_poison() {
    let cpu = CpuBackend::new();
    for k in FP8 {
        for (v, d, heads) in [(k, 128, 8), (F16, 72, 2), (Int8, 96, 4), (k, 192, 6), (k, 256, 2)] {
            let world = World::new(32, heads, 2, d, &[313]);
            let shape = world.shape(16, KvLayout::Hnd, k, v);
            let world = world.with_scales(&shape, true);
            let tables = world.tables(&shape, 5);
            let cache = stored(&cpu, &world, &shape, &tables);
            let got = world.attend(&cpu, &cache, &world.attention(), &tables, &QUERIES);
            let [poisoned, want] = common::both(&cpu, &world, &shape, &world.attention(), &QUERIES);
            common::assert_close(&format!("{k} {v} {d}"), &got, &want, 20.0);
            let [got, poisoned] = [got, poisoned].map(|(out, lse)| (bits(&out), bits(&lse)));
            assert!(got == poisoned, "{k} {v} {d}: not as beside NaNs");
        }
    }
}

#[test]
fn a_stored_nan_comes_out() {
    let cpu = CpuBackend::new();
    for stored_as in FP8 {
        for heads in [2, 8, 20] {
            for (side, token) in [(0, 7), (1, 200), (0, 303), (1, 311)] {
                let mut world = World::new(33, heads, 2, 64, &[313]);
                [&mut world.k, &mut world.v][side][0][token * 128 + 3] = f32::NAN;
                let shape = world.shape(16, KvLayout::Nhd, stored_as, stored_as);
                let world = world.with_scales(&shape, false);
                let tables = world.tables(&shape, 5);
                let cache = stored(&cpu, &world, &shape, &tables);
                let (out, _) = world.attend(&cpu, &cache, &world.attention(), &tables, &QUERIES);
                let row = heads * 64;
                for (i, last) in [313].into_iter().chain(301..=311).chain([312]).enumerate() {
                    for (h, out) in out[i * row..(i + 1) * row].chunks_exact(64).enumerate() {
                        // Of the first KV head; from V, element 3 alone.
                        let hit = token < last && h < heads / 2;
                        for (e, x) in out.iter().enumerate() {
                            let nan = hit && (side == 0 || e == 3);
                            assert_eq!(
                                x.is_nan(),
                                nan,
                                "{stored_as} {heads} {token} {last} {h} {e}"
                            );
                        }
                    }
                }
            }
        }
    }
}

/// Infinities and NaNs of E5M2 cannot be stored by saturating conversions, but are codes.
#[test]
fn codes_of_e5m2_beyond_its_numbers() {
    let cpu = CpuBackend::new();
    for (code, heads) in [(0x7c, 2), (0xfc, 8), (0x7d, 8), (0x7f, 2), (0xfe, 20)] {
        let world = World::new(34, heads, 2, 64, &[313]);
        let shape = world.shape(16, KvLayout::Nhd, F8E5M2, F8E5M2);
        let tables = world.tables(&shape, 5);
        let mut cache = stored(&cpu, &world, &shape, &tables);
        let block = shape.block_elements();
        let at = tables[0][2] as usize * block + 5;
        cache.buffers_mut().1.bytes_mut()[at] = code;
        let (out, _) = world.attend(&cpu, &cache, &world.attention(), &tables, &[(0, 312, 313)]);
        let found = out[5];
        assert_eq!(found.is_nan(), code & 3 != 0, "{code:#x}: {found}");
        assert_eq!(found.is_infinite(), code & 3 == 0, "{code:#x}: {found}");
        let finite = out.iter().filter(|x| x.is_finite()).count();
        assert_eq!(finite, out.len() - heads / 2, "{code:#x}");
    }
}

#[test]
fn a_piece_is_judged_anew_when_it_is_full_again() {
    // A block that held NaN once and was overwritten is as good as new, in any order of tokens.
    let cpu = CpuBackend::new();
    let world = World::new(35, 4, 2, 64, &[64]);
    let shape = world.shape(32, KvLayout::Nhd, F8E4M3, F8E4M3);
    let world = world.with_scales(&shape, false);
    let tables = world.tables(&shape, 5);
    let clean = stored(&cpu, &world, &shape, &tables);
    let mut cache = cpu.new_cache(shape.clone()).unwrap();
    let (row, slots) = (2 * 64, World::slots(&tables[0], 32, 0..64));
    let nan = vec![f32::NAN; 64 * row];
    cpu.append(&mut cache, &world.scales, &nan, &nan, &slots).unwrap();
    for t in (0..64).rev() {
        let [k, v] = [&world.k, &world.v].map(|x| &x[0][t * row..(t + 1) * row]);
        cpu.append(&mut cache, &world.scales, k, v, &slots[t..=t]).unwrap();
    }
    let run =
        |cache| bits(&world.attend(&cpu, cache, &world.attention(), &tables, &[(0, 60, 64)]).0);
    assert_eq!(run(&cache), run(&clean));
}

#[test]
fn numbers_far_from_one() {
    let cpu = CpuBackend::new();
    let one = |scale: f32| KvScale::PerTensor(scale);
    // Queries times k scales that give logits of the usual size, and v scales of any.
    for (q, k_scale, v_scale) in
        [(1e-30, 1e30, 1.0), (1e25, 1e-25, 1.0), (1e-30, 1.0, 1e-30), (1.0, 0.01, 1e34)]
    {
        for stored_as in FP8 {
            for heads in [2, 8, 10] {
                let mut world = World::new(36, heads, 2, 64, &[313]);
                world.q[0].iter_mut().for_each(|x| *x *= q);
                world.k[0].iter_mut().for_each(|x| *x *= k_scale);
                world.v[0].iter_mut().for_each(|x| *x *= v_scale);
                world.scales =
                    LayerScales { k: one(k_scale), v: one(v_scale), ..LayerScales::default() };
                let shape = world.shape(16, KvLayout::Nhd, stored_as, stored_as);
                let name = format!("{stored_as} q {q:e} k {k_scale:e} v {v_scale:e}");
                check(&name, &cpu, &world, &shape, &world.attention(), &QUERIES);
            }
        }
    }
}

#[test]
fn dynamic_scales_far_from_one() {
    let cpu = CpuBackend::new();
    for (size, heads) in [(1e30f32, 2), (1e30, 12), (1e-3, 8), (1.0, 8)] {
        let mut world = World::new(37, heads, 2, 64, &[313]);
        // Values that differ by orders of magnitude between tokens.
        for (t, token) in world.v[0].chunks_exact_mut(128).enumerate() {
            token.iter_mut().for_each(|x| *x *= size * [1.0, 1e-2, 1e3][t % 3]);
        }
        let shape = world.shape(16, KvLayout::Nhd, F8E4M3, F8E4M3).with_per_token_head(true, true);
        check(&format!("{size:e}"), &cpu, &world, &shape, &world.attention(), &QUERIES);
    }
}

/// Bits, with all NaNs the same.
fn values((out, lse): (Vec<f32>, Vec<f32>)) -> [Vec<u32>; 2] {
    [out, lse].map(|x| x.iter().map(|x| if x.is_nan() { u32::MAX } else { x.to_bits() }).collect())
}

#[test]
fn queries_that_are_not_finite() {
    let cpu = CpuBackend::new();
    for stored_as in FP8 {
        for heads in [2, 8] {
            let (d, row) = (64, heads * 64);
            let mut world = World::new(38, heads, 2, d, &[313]);
            // Normal codes alone, the first elements above 0: −∞ and 1e24 meet them in the first
            // head, a NaN in the last.
            for x in &mut world.k[0] {
                *x = (x.abs() + 0.5).copysign(*x);
            }
            for k in world.k[0].chunks_exact_mut(d) {
                k[..2].iter_mut().for_each(|x| *x = x.abs());
            }
            for q in world.q[0].chunks_exact_mut(row) {
                q[..2].copy_from_slice(&[f32::NEG_INFINITY, 1e24]);
                q[row - d..][..2].copy_from_slice(&[f32::NAN, 1e24]);
            }
            let shape = world.shape(16, KvLayout::Nhd, stored_as, stored_as);
            let tables = world.tables(&shape, 5);
            let name = format!("{stored_as} {heads}");
            let run = |cache: &KvCache<_>, queries: &[_]| {
                let (out, lse) = world.attend(&cpu, cache, &world.attention(), &tables, queries);
                for (out, lse) in out.chunks_exact(row).zip(lse.chunks_exact(heads)) {
                    // Every score of the first head is −∞, none of the last is a number.
                    assert!(out[..d].iter().all(|x| *x == 0.0), "{name}");
                    assert_eq!(lse[0], f32::NEG_INFINITY, "{name}");
                    assert!(out[row - d..].iter().all(|x| x.is_nan()), "{name}");
                    assert!(out[d..row - d].iter().all(|x| x.is_finite()), "{name}");
                }
                values((out, lse))
            };
            let clean = stored(&cpu, &world, &shape, &tables);
            let wanted = run(&clean, &QUERIES);
            // A prefill's last rows are those of decoding.
            let [out, lse] = run(&clean, &[(0, 300, 313)]);
            for (token, query) in [(11, (0, 311, 312)), (12, (0, 312, 313))] {
                let one = run(&clean, &[query]);
                assert!(out[token * row..][..row] == one[0], "{name}: prefill");
                assert!(lse[token * heads..][..heads] == one[1], "{name}: prefill");
            }
            // Subnormals, then NaNs, in tokens that nobody sees.
            for x in [1e-4, f32::NAN] {
                let x = if x > 0.0 && stored_as.max() > 1e3 { 4e-7 } else { x };
                let mut cache = stored(&cpu, &world, &shape, &tables);
                let slots = World::slots(&tables[0], 16, 313..320);
                let unseen = vec![x; slots.len() * 2 * d];
                let ones = LayerScales::default();
                cpu.append(&mut cache, &ones, &unseen, &unseen, &slots).unwrap();
                assert!(run(&cache, &QUERIES) == wanted, "{name}: beside {x}");
            }
            let mut cache = stored(&cpu, &world, &shape, &tables);
            let (k, v) = cache.buffers_mut();
            let _ = (k.bytes_mut(), v.bytes_mut());
            assert!(run(&cache, &QUERIES) == wanted, "{name}: judged to hold NaNs");
        }
    }
}

/// The factor on dot products is beyond any f32; keys of zeros have a score of 0 all the same.
#[test]
fn zeros_times_huge_scales() {
    let cpu = CpuBackend::new();
    for stored_as in [F8E4M3, F8E5M2, F8E4M3Fnuz, F8E5M2Fnuz, Int8] {
        for heads in [2, 8, 10] {
            let mut world = World::new(39, heads, 2, 64, &[313]);
            world.scales.k = KvScale::PerTensor(65536.0);
            if stored_as == Int8 {
                world.scales.v = KvScale::PerTensor(0.04);
            }
            // Two keys of three are zeros, the others far below.
            for (i, k) in world.k[0].chunks_exact_mut(64).enumerate() {
                k.fill(if i / 2 % 3 == 0 { -65536.0 } else { 0.0 });
            }
            world.q[0].fill(2.0f32.powi(122));
            let shape = world.shape(16, KvLayout::Nhd, stored_as, stored_as);
            let name = format!("{stored_as} {heads}");
            check(&name, &cpu, &world, &shape, &world.attention(), &QUERIES);
        }
    }
}
