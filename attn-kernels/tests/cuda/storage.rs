//! Append, copy and gather: bytes are the CPU's.

use attn_kernels::{Backend, CacheShape, KvLayout, KvScale, LayerScales};
use attn_kernels::{ReferenceBackend, ReferenceBuffer};
use fp8_format::ElementType::{self, Bf16, F8E4M3, F8E5M2, F16, F32, Int8};

use crate::common::Rng;
use crate::device::{ARCHS, Cuda};

const TYPES: [ElementType; 5] = [F16, Bf16, F8E4M3, F8E5M2, Int8];

/// Numbers of every kind: every exponent, both signs, ties, subnormals, infinities, NaN.
fn numbers(rng: &mut Rng, n: usize) -> Vec<f32> {
    (0..n)
        .map(|i| match i % 8 {
            0..4 => rng.normal(),
            4 => f32::from_bits(rng.next() as u32),
            5 => (rng.below(4096) as f32 - 2048.0) / 512.0,
            6 => f32::from_bits((rng.below(64) as u32 + 96) << 23 | (rng.below(16) as u32) << 19),
            _ => [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, -f32::NAN, 448.0, 57344.0, 1e-9]
                [rng.below(8)],
        })
        .collect()
}

fn append_and_compare(arch: &'static str, shape: &CacheShape, per_head: bool) {
    let (mut rng, heads) = (Rng::new(5), shape.num_kv_heads);
    let scale = |stored: ElementType, dynamic: bool, base: f32| match per_head {
        _ if dynamic || !stored.is_quantized() => KvScale::ONE,
        true => KvScale::PerHead((0..heads).map(|h| base * (1.0 + 0.7 * h as f32)).collect()),
        false => KvScale::PerTensor(base),
    };
    let scales = LayerScales {
        k: scale(shape.k_type, shape.k_per_token_head, 0.013),
        v: scale(shape.v_type, shape.v_per_token_head, 0.37),
        ..LayerScales::default()
    };
    // A slot twice, a slot skipped, the last slot of the pool.
    let slots = [3, 17, -1, 16, shape.num_slots() as i64 - 1, 17, 23];
    let n = slots.len() * heads * shape.head_dim;
    let (k, v) = (numbers(&mut rng, n), numbers(&mut rng, n));
    let cuda = Cuda::new(arch);
    let mut device = cuda.new_cache(shape.clone()).unwrap();
    let mut host = ReferenceBackend.new_cache(shape.clone()).unwrap();
    cuda.append(&mut device, &scales, &k, &v, &slots).unwrap();
    ReferenceBackend.append(&mut host, &scales, &k, &v, &slots).unwrap();
    // Blocks 2 → 3 → 1, and one overwritten after it was read.
    let copies = [(2, 3), (3, 1), (0, 2)];
    cuda.copy_blocks(&mut device, &copies).unwrap();
    ReferenceBackend.copy_blocks(&mut host, &copies).unwrap();
    let name = format!("{arch} {shape:?}");
    same_bytes(&format!("{name}: K"), &cuda.0.codes(device.k()).unwrap(), host.k().bytes());
    same_bytes(&format!("{name}: V"), &cuda.0.codes(device.v()).unwrap(), host.v().bytes());
    let own = |side| cuda.0.scales(shape, side).unwrap();
    same_bytes(&format!("{name}: K's scales"), &own(device.k()), host.k().scales());
    same_bytes(&format!("{name}: V's scales"), &own(device.v()), host.v().scales());

    let table = [1, 3, 0];
    let tokens = 2..2 * shape.block_size + 3;
    let (mut k, mut v) = (vec![f32::NAN; tokens.len() * heads * shape.head_dim], Vec::new());
    v.clone_from(&k);
    cuda.gather(&device, &scales, &table, tokens, &mut k, &mut v).unwrap();
    for (side, got, buffer, stored, scale) in
        [("K", k, host.k(), shape.k_type, &scales.k), ("V", v, host.v(), shape.v_type, &scales.v)]
    {
        let mut row = 0;
        for position in 2..2 * shape.block_size + 3 {
            let (block, offset) = (table[position / shape.block_size], position % shape.block_size);
            for head in 0..heads {
                let want = read_row(shape, buffer, stored, scale, (block as usize, offset, head));
                let got = &got[row * shape.head_dim..(row + 1) * shape.head_dim];
                let same =
                    |(g, w): (&f32, &f32)| g.to_bits() == w.to_bits() || (g.is_nan() && w.is_nan());
                assert!(
                    got.iter().zip(&want).all(same),
                    "{name}: {side} read back at {position}, {head}"
                );
                row += 1;
            }
        }
    }
}

/// Whole pools are too long to print: only where they differ first.
fn same_bytes(name: &str, got: &[u8], want: &[u8]) {
    assert_eq!(got.len(), want.len(), "{name}: length");
    if let Some(at) = (0..got.len()).find(|&at| got[at] != want[at]) {
        let all = (0..got.len()).filter(|&at| got[at] != want[at]).count();
        panic!("{name}: byte {at} is {:#04x}, the CPU's {:#04x}; {all} differ", got[at], want[at]);
    }
}

/// One token's row of a head as numbers, from the bytes of a pool.
pub(crate) fn read_row(
    shape: &CacheShape,
    buffer: &ReferenceBuffer,
    stored: ElementType,
    scale: &KvScale,
    place: (usize, usize, usize),
) -> Vec<f32> {
    let (codes, own) = read_codes(shape, buffer, stored, place);
    let scale = own.unwrap_or_else(|| scale.get(place.2));
    if stored.is_quantized() { codes.into_iter().map(|c| c * scale).collect() } else { codes }
}

/// The same without its scale, and its scale where it has one of its own.
pub(crate) fn read_codes(
    shape: &CacheShape,
    buffer: &ReferenceBuffer,
    stored: ElementType,
    (block, offset, head): (usize, usize, usize),
) -> (Vec<f32>, Option<f32>) {
    let (heads, bs, d) = (shape.num_kv_heads, shape.block_size, shape.head_dim);
    let row = match shape.layout {
        KvLayout::Nhd => (block * bs + offset) * heads + head,
        KvLayout::Hnd => (block * heads + head) * bs + offset,
    };
    let own: &[[u8; 4]] = buffer.scales().as_chunks().0;
    let own = own.get((block * heads + head) * bs + offset).map(|b| f32::from_le_bytes(*b));
    let codes = &buffer.bytes()[row * d * stored.size()..(row + 1) * d * stored.size()];
    let halves = || codes.as_chunks().0.iter().map(|&b| u16::from_le_bytes(b));
    let numbers = match stored {
        F16 => halves().map(|h| half::f16::from_bits(h).to_f32()).collect(),
        Bf16 => halves().map(|h| half::bf16::from_bits(h).to_f32()).collect(),
        F8E4M3 => codes.iter().map(|&c| fp8_format::F8E4M3::from_bits(c).to_f32()).collect(),
        F8E5M2 => codes.iter().map(|&c| fp8_format::F8E5M2::from_bits(c).to_f32()).collect(),
        _ => codes.iter().map(|&c| f32::from(c.cast_signed())).collect(),
    };
    (numbers, own)
}

#[test]
fn appended_bytes_are_the_cpus_on_every_architecture() {
    for arch in ARCHS {
        for (i, k) in TYPES.into_iter().enumerate() {
            let v = TYPES[(i + 2) % TYPES.len()];
            let layout = if i % 2 == 0 { KvLayout::Nhd } else { KvLayout::Hnd };
            let shape = CacheShape::new(4, 16, 3, 64, k, v).with_layout(layout);
            append_and_compare(arch, &shape, i % 2 == 1);
        }
    }
}

#[test]
fn every_head_dim_and_block_size() {
    let shapes = [(8, 8), (64, 16), (96, 32), (128, 64), (256, 128), (136, 256)];
    for (i, arch) in ARCHS.into_iter().enumerate() {
        for (j, (d, bs)) in shapes.into_iter().enumerate() {
            let (k, v) = (TYPES[(i + j) % 5], TYPES[(i + 2 * j) % 5]);
            append_and_compare(arch, &CacheShape::new(4, bs, 2, d, k, v), true);
        }
    }
}

#[test]
fn dynamic_scales_are_the_cpus() {
    for arch in ARCHS {
        for (k, v) in [(F8E4M3, Int8), (Int8, F8E5M2), (F8E5M2, F8E4M3)] {
            for sides in [(true, true), (false, true), (true, false)] {
                let shape =
                    CacheShape::new(4, 16, 2, 64, k, v).with_per_token_head(sides.0, sides.1);
                append_and_compare(arch, &shape, false);
            }
        }
    }
}

#[test]
fn f32_storage_is_refused() {
    let error = Cuda::new("sm_89").new_cache(CacheShape::new(4, 16, 1, 64, F32, F16)).unwrap_err();
    assert_eq!(error.to_string(), "cuda backend does not support f32 storage");
}
