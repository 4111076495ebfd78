//! Attention against an f64 reference that rounds what the kernels round, and nothing else: Q to K's
//! operand type, P to V's, per fixed chunk.

use attn_kernels::{AttentionShape, CacheShape, KvCache, KvLayout, LayerScales};
use attn_kernels::{ReferenceBackend, ReferenceBuffer};
use fp8_format::ElementType::{self, Bf16, F8E4M3, F8E5M2, F16, Int8};

use crate::common::{World, errors};
use crate::device::{Cuda, Emulated};
use crate::storage::read_row;

const CHUNK: usize = 256;

/// The operand that a stored type becomes.
fn rounded(stored: ElementType, x: f32) -> f64 {
    match stored {
        Bf16 => half::bf16::from_f32(x).to_f64(),
        _ => half::f16::from_f32(x).to_f64(),
    }
}

/// One row over keys `0..end`, from the stored codes.
fn attend(
    cache: &KvCache<ReferenceBuffer>,
    scales: &LayerScales,
    table: &[u32],
    softmax_scale: f32,
    (q, head, end): (&[f32], usize, usize),
) -> Vec<f64> {
    let shape = cache.shape();
    let place = |j: usize| (table[j / shape.block_size] as usize, j % shape.block_size, head);
    let one = attn_kernels::KvScale::ONE;
    let k = |j| read_row(shape, cache.k(), shape.k_type, &one, place(j));
    let v = |j| read_row(shape, cache.v(), shape.v_type, &one, place(j));
    let q: Vec<f64> = q.iter().map(|&x| rounded(shape.k_type, x)).collect();
    let factor = f64::from(softmax_scale) * f64::from(scales.k.get(head));
    let (mut max, mut sum, mut out) = (f64::NEG_INFINITY, 0.0, vec![0.0; q.len()]);
    for first in (0..end).step_by(CHUNK) {
        let keys = first..end.min(first + CHUNK);
        let dot = |j| q.iter().zip(k(j)).map(|(q, k)| q * f64::from(k)).sum::<f64>();
        let scores: Vec<f64> = keys.clone().map(|j| dot(j) * factor).collect();
        let chunk_max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let merged = chunk_max.max(max);
        let (a, b) = ((max - merged).exp(), (chunk_max - merged).exp());
        out.iter_mut().for_each(|o| *o *= a);
        sum *= a;
        for (j, s) in keys.zip(scores) {
            let p = rounded(shape.v_type, (s - chunk_max).exp() as f32);
            sum += p * b;
            out.iter_mut().zip(v(j)).for_each(|(o, v)| *o += p * b * f64::from(v));
        }
        max = merged;
    }
    let v_scale = f64::from(scales.v.get(head));
    out.into_iter().map(|o| o * v_scale / sum).collect()
}

fn check(arch: &'static str, shape: &CacheShape, world: &World, wanted: usize) {
    let cuda = Cuda::with(Emulated::new(arch).wanting(wanted));
    let tables = world.tables(shape, 7);
    let (device, host) =
        (world.fill(&cuda, shape, &tables), world.fill(&ReferenceBackend, shape, &tables));
    let attention: AttentionShape = world.attention();
    let end = world.kv_len(0);
    let queries = [(0, end - 3, end)];
    let (got, _) = world.attend(&cuda, &device, &attention, &tables, &queries);
    let (heads, d, group) = (world.heads, world.d, world.heads / world.kv_heads);
    let mut want = Vec::new();
    for row in 0..3 * heads {
        let (token, head) = (end - 3 + row / heads, row % heads);
        let q = &world.q[0][(token * heads + head) * d..][..d];
        let seen = (q, head / group, token + 1);
        want.extend(attend(&host, &world.scales, &tables[0], attention.softmax_scale, seen));
    }
    let want: Vec<f32> = want.into_iter().map(|x| x as f32).collect();
    let (worst, rms) = errors(&got, &want);
    // Where f32 puts a weight on the other side of a tie, one of its f16 (bf16) steps is the error.
    let (worst_bound, rms_bound) = if shape.v_type == Bf16 { (4e-4, 4e-5) } else { (5e-5, 5e-6) };
    assert!(worst <= worst_bound && rms <= rms_bound, "{arch} {shape:?}: worst {worst}, rms {rms}");
    println!(
        "{arch} {:?}/{:?} d {d}: worst {worst:.1e}, rms {rms:.1e}",
        shape.k_type, shape.v_type
    );
}

#[test]
fn nothing_else_is_rounded() {
    for (arch, stored) in [
        ("sm_80", F8E4M3),
        ("sm_89", F8E4M3),
        ("sm_90a", Int8),
        ("sm_100a", F8E5M2),
        ("sm_120a", F16),
        ("sm_90a", Bf16),
    ] {
        for d in [64, 128] {
            let world = World::new(31, 4, 1, d, &[519]);
            let shape = world.shape(16, KvLayout::Nhd, stored, stored);
            check(arch, &shape, &world.with_scales(&shape, true), 100);
        }
    }
    for d in [96, 256] {
        let world = World::new(37, 6, 1, d, &[300]);
        let shape = world.shape(64, KvLayout::Hnd, F8E4M3, F8E4M3);
        check("sm_90a", &shape, &world.with_scales(&shape, true), 1);
    }
}
