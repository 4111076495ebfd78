//! The quantized arithmetics against the reference, with their bounds.

mod common;

use attn_kernels::{AttnMath, CpuBackend, KvLayout, KvScale, Variant};
use common::{World, both, check, errors};
use fp8_format::ElementType::{self, *};

const EDGES: [usize; 9] = [1, 15, 16, 17, 255, 256, 257, 513, 0];
const FP8: [ElementType; 4] = [F8E4M3, F8E5M2, F8E4M3Fnuz, F8E5M2Fnuz];

fn queries(lens: &[usize]) -> Vec<(usize, usize, usize)> {
    let decode = lens.iter().enumerate().map(|(s, &n)| (s, n.saturating_sub(1), n));
    let prefill = lens.iter().enumerate().map(|(s, &n)| (s, n.saturating_sub(19), n));
    decode.chain(prefill).collect()
}

fn all_variants(heads: usize) -> Variant {
    let mut variant = Variant::default();
    variant.window = Some(300);
    variant.soft_cap = Some(4.0);
    variant.alibi_slopes = Some((0..heads).map(|h| 0.01 * (h + 1) as f32).collect());
    variant.sinks = Some((0..heads).map(|h| h as f32 - 2.0).collect());
    variant
}

/// Rounding Q is the same everywhere, so default arithmetic's bound holds.
#[test]
fn fp8_q() {
    for cpu in [CpuBackend::new(), CpuBackend::scalar()] {
        for (i, k) in FP8.into_iter().enumerate() {
            for v in [F8E4M3, F16] {
                for per_head in [false, true] {
                    let world = World::new(i as u64, 6, 2, 32, &EDGES).with_q_scales(per_head);
                    let shape = world.shape(16, KvLayout::Nhd, k, v);
                    let world = world.with_scales(&shape, per_head);
                    let attention = world.attention().with_math(AttnMath::Fp8Q);
                    let name = format!("{} {k} {v}", cpu.isa());
                    check(&name, &cpu, &world, &shape, &attention, &queries(&EDGES));
                    let attention = attention.with_variant(all_variants(6));
                    check(&name, &cpu, &world, &shape, &attention, &queries(&EDGES));
                }
            }
        }
    }
}

/// Where a weight lies between two codes, f32 and f64 may choose differently: a few weights differ
/// by a step of their format. The rest is as near as with default arithmetic.
#[test]
fn fp8() {
    let lens = [17, 257, 515, 0];
    for (cpu, cases) in [(CpuBackend::new(), 4), (CpuBackend::scalar(), 1)] {
        for (k, v) in [(F8E4M3, F8E4M3), (F8E4M3, F8E5M2), (F8E4M3Fnuz, F8E5M2Fnuz)] {
            let shapes = [(64, 3, 16), (128, 1, 32), (24, 4, 8), (80, 8, 256)];
            for (i, (d, group, bs)) in shapes.into_iter().enumerate().take(cases) {
                let world = World::new(3, 2 * group, 2, d, &lens).with_q_scales(true);
                let shape = world.shape(bs, KvLayout::Hnd, k, v);
                let mut world = world.with_scales(&shape, true);
                let mut attention = world.attention().with_math(AttnMath::Fp8);
                if i % 2 == 1 {
                    world.scales.prob = Some(1.0 / 300.0);
                    attention = attention.with_variant(all_variants(2 * group));
                }
                let [got, want] = both(&cpu, &world, &shape, &attention, &queries(&lens));
                let name = format!("{} {k} {v} d {d} g {group}", cpu.isa());
                // A step is 2^-3 of a weight in E4M3, 2^-2 in E5M2; a row's weights sum to 1.
                let step = if matches!(v, F8E5M2 | F8E5M2Fnuz) { 0.25 } else { 0.125 };
                let (worst, _) = errors(&got.0, &want.0);
                let absmax = want.0.iter().fold(0.0f32, |m, x| m.max(x.abs()));
                let off = |(g, w): &(&f32, &f32)| (*g - *w).abs() > 4e-6 * absmax;
                let differ = got.0.iter().zip(&want.0).filter(off).count() as f64;
                let share = differ / got.0.len() as f64;
                println!("{name}: worst {worst:.1e}, {:.2}% differ", 100.0 * share);
                assert!(worst < step / 2.0 && share < 0.04, "{name}: {worst:.1e} {share}");
                for (g, w) in got.1.iter().zip(&want.1) {
                    assert!(
                        f64::from((g - w).abs()) < step / 2.0 || g == w,
                        "{name}: lse {g}, {w}"
                    );
                }
            }
        }
    }
}

/// The bound that `AttnMath::Int8` states, against exact attention.
const INT8: f64 = 5e-4;

#[test]
fn int8() {
    let mut seen = 0.0f64;
    let lens = [1, 17, 255, 257, 513, 0];
    for (cpu, cases) in [(CpuBackend::new(), 12), (CpuBackend::scalar(), 3)] {
        let shapes =
            [(64, 3, 16), (24, 4, 8), (128, 1, 32), (96, 2, 256), (256, 4, 16), (8, 1, 64)];
        let more =
            [(80, 5, 16), (192, 7, 32), (512, 3, 8), (1024, 2, 16), (40, 9, 16), (128, 8, 16)];
        for (i, (d, group, bs)) in shapes.into_iter().chain(more).enumerate().take(cases) {
            for own in [false, true] {
                let world = World::new(i as u64, 2 * group, 2, d, &lens);
                let layout = if own { KvLayout::Hnd } else { KvLayout::Nhd };
                let shape = world.shape(bs, layout, Int8, Int8).with_per_token_head(own, own);
                let world = world.with_scales(&shape, true);
                let mut attention = world.attention().with_math(AttnMath::Int8);
                if i % 3 == 1 {
                    attention = attention.with_variant(all_variants(2 * group));
                }
                let [got, want] = both(&cpu, &world, &shape, &attention, &queries(&lens));
                let (worst, _) = errors(&got.0, &want.0);
                seen = seen.max(worst);
                let name = format!("{} d {d} g {group} own {own}", cpu.isa());
                assert!(worst < INT8, "{name}: {worst:.1e}");
                for (g, w) in got.1.iter().zip(&want.1) {
                    assert!(f64::from((g - w).abs()) < INT8 || g == w, "{name}: lse {g}, {w}");
                }
            }
        }
    }
    println!("int8: worst {seen:.1e}");
}

/// Flat and very peaked softmaxes, codes at the ends of their range, and one large query element
/// that leaves the others few of the 16 bits.
#[test]
fn int8_extremes() {
    let cpu = CpuBackend::new();
    for (name, q_size, v_size, outlier) in [
        ("flat", 1e-3, 1.0, 1.0),
        ("peaked", 8.0, 1.0, 1.0),
        ("full", 1.0, 3.0, 1.0),
        ("outlier", 0.1, 1.0, 60.0),
    ] {
        for d in [64, 512, 1024] {
            let mut world = World::new(4, 4, 2, d, &[700]);
            world.q[0].iter_mut().for_each(|x| *x *= q_size);
            world.q[0].iter_mut().step_by(d).for_each(|x| *x *= outlier);
            world.v[0].iter_mut().for_each(|x| *x *= v_size);
            if name == "full" {
                world.k[0].iter_mut().for_each(|x| *x = 8.0 * x.signum());
                world.q[0].iter_mut().for_each(|x| *x = 0.01 * x.signum());
            }
            let shape = world.shape(16, KvLayout::Nhd, Int8, Int8);
            let world = world.with_scales(&shape, false);
            let attention = world.attention().with_math(AttnMath::Int8);
            let [got, want] = both(&cpu, &world, &shape, &attention, &[(0, 670, 700)]);
            let (worst, _) = errors(&got.0, &want.0);
            println!("{name} {d}: {worst:.1e}");
            assert!(worst < INT8, "{name} {d}: {worst:.1e}");
        }
    }
}

/// A query that is no number gives none, and touches no other row.
#[test]
fn int8_query_without_a_number() {
    let cpu = CpuBackend::new();
    for bad in [f32::NAN, f32::INFINITY] {
        let mut world = World::new(4, 4, 2, 64, &[300]);
        world.q[0][290 * 4 * 64 + 2 * 64 + 7] = bad; // token 290, head 2
        world.q[0][291 * 4 * 64..][..64].fill(0.0); // token 291, head 0
        let shape = world.shape(16, KvLayout::Nhd, Int8, Int8);
        let world = world.with_scales(&shape, false);
        let attention = world.attention().with_math(AttnMath::Int8);
        let [got, want] = both(&cpu, &world, &shape, &attention, &[(0, 280, 300)]);
        for (i, (g, w)) in got.0.chunks(64).zip(want.0.chunks(64)).enumerate() {
            assert_eq!(g.iter().all(|x| x.is_nan()), i == 42, "{bad} {i}");
            assert_eq!(g.iter().any(|x| x.is_nan()), i == 42, "{bad} {i}");
            let near = g.iter().zip(w).all(|(g, w)| (g - w).abs() < 1e-3);
            assert!(near || i == 42, "{bad} {i}");
        }
    }
}

/// What the arithmetics cost against exact attention on the same stored values.
#[test]
fn accuracy() {
    let cpu = CpuBackend::new();
    let lens = [700, 257, 40];
    let queries = [(0, 600, 700), (1, 256, 257), (2, 0, 40)];
    for (math, stored, limits) in [
        (AttnMath::Default, F8E4M3, (4e-6, 1e-6)),
        (AttnMath::Fp8Q, F8E4M3, (0.1, 0.005)),
        (AttnMath::Fp8, F8E4M3, (0.1, 0.006)),
        (AttnMath::Fp8, F8E5M2, (0.2, 0.02)),
        (AttnMath::Int8, Int8, (INT8, 1e-4)),
    ] {
        let world = World::new(8, 8, 2, 128, &lens).with_q_scales(false);
        let shape = world.shape(16, KvLayout::Nhd, stored, stored);
        let world = world.with_scales(&shape, true);
        let [_, exact] = both(&cpu, &world, &shape, &world.attention(), &queries);
        let [got, _] = both(&cpu, &world, &shape, &world.attention().with_math(math), &queries);
        let (worst, rms) = errors(&got.0, &exact.0);
        println!("{math} {stored}: worst {worst:.2e}, rms {rms:.2e} of max|out|");
        assert!(worst < limits.0 && rms < limits.1, "{math} {stored}: {worst:.1e} {rms:.1e}");
    }
}

/// Prob scales that leave P in [0, 1] lose its small terms; the default one does not, and the
/// denominator over rounded P keeps a constant V constant.
#[test]
fn rounded_weights_still_sum_to_one() {
    let cpu = CpuBackend::new();
    let mut world = World::new(9, 4, 2, 64, &[600]).with_q_scales(false);
    world.v[0].fill(1.0);
    for stored in FP8 {
        let shape = world.shape(16, KvLayout::Nhd, stored, stored);
        for prob in [None, Some(1.0), Some(0.01)] {
            let mut world = world.clone();
            world.scales.prob = prob;
            let attention = world.attention().with_math(AttnMath::Fp8);
            let [got, _] = both(&cpu, &world, &shape, &attention, &[(0, 500, 600)]);
            assert!(got.0.iter().all(|x| (x - 1.0).abs() < 1e-6), "{stored} {prob:?}");
        }
    }
}

/// The q scale that is used is the head's own.
#[test]
fn q_scales_are_per_query_head() {
    let cpu = CpuBackend::new();
    let world = World::new(10, 4, 2, 64, &[40]).with_q_scales(true);
    let shape = world.shape(16, KvLayout::Nhd, F8E4M3, F8E4M3);
    let attention = world.attention().with_math(AttnMath::Fp8Q);
    let run = |scales: [f32; 4]| {
        let mut world = world.clone();
        world.scales.q = KvScale::PerHead(Box::new(scales));
        both(&cpu, &world, &shape, &attention, &[(0, 39, 40)])[0].0.clone()
    };
    let base = run([0.01; 4]);
    for head in 0..4 {
        let mut scales = [0.01; 4];
        scales[head] = 0.9; // so coarse that most codes become 0
        for (i, (a, b)) in run(scales).chunks(64).zip(base.chunks(64)).enumerate() {
            assert_eq!(a != b, i == head, "scale {head}, output {i}");
        }
    }
}
