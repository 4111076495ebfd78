//! Append that turns K by its position and notes magnitudes: the kernel launched as its struct says,
//! against the CPU's append of K turned beforehand.

use attn_kernels::cuda::{Driver, Launch};
use attn_kernels::{Backend, CacheShape, KvScale, LayerScales, ReferenceBackend};
use fp8_format::ElementType::{self, Bf16, F8E4M3, F8E5M2, F16, Int8};

use crate::common::Rng;
use crate::device::{ARCHS, Emulated, Memory};

/// `[tokens][head_dim / 2]` cosines and sines.
type Angles = (Vec<f32>, Vec<f32>);

/// Pair `i` of a head is elements `i` and `i + head_dim / 2`; every product is rounded.
fn turned(x: &[f32], (cos, sin): &Angles, heads: usize, d: usize) -> Vec<f32> {
    let mut x = x.to_vec();
    for (i, head) in x.chunks_exact_mut(d).enumerate() {
        let (low, high) = head.split_at_mut(d / 2);
        for j in 0..d / 2 {
            let (c, s) = (cos[i / heads * (d / 2) + j], sin[i / heads * (d / 2) + j]);
            let (a, b) = (low[j], high[j]);
            (low[j], high[j]) = (a * c - b * s, b * c + a * s);
        }
    }
    x
}

fn put<T: Copy, const N: usize>(device: &Emulated, values: &[T], to: fn(T) -> [u8; N]) -> Memory {
    let memory = device.alloc((values.len() * N).max(1)).unwrap();
    let bytes: Vec<u8> = values.iter().flat_map(|&x| to(x)).collect();
    device.write(&memory, 0, &bytes).unwrap();
    memory
}

fn read(device: &Emulated, memory: &Memory, bytes: usize) -> Vec<u8> {
    let mut to = vec![0; bytes];
    device.read(memory, 0, &mut to).unwrap();
    to
}

/// `struct Append` of `cuda/append.cu`.
#[derive(Default)]
struct Argument(Vec<u8>);

impl Argument {
    fn words(&mut self, words: &[u32]) {
        self.0.extend(words.iter().flat_map(|w| w.to_le_bytes()));
    }

    fn pointers(&mut self, device: &Emulated, pointers: &[Option<&Memory>]) {
        let address = |p: &Option<&Memory>| p.map_or(0, |p| device.address(p));
        self.0.extend(pointers.iter().flat_map(|p| address(p).to_le_bytes()));
    }
}

fn check(arch: &'static str, stored: ElementType, d: usize, dynamic: bool) {
    let (heads, bs, blocks) = (3, 16, 4);
    let slots = [3i64, 17, -1, 16, 63, 40];
    let mut rng = Rng::new(d as u64);
    let n = slots.len() * heads * d;
    let (k, v) = (rng.normals(n, 2.0), rng.normals(n, 1.0));
    let angles: Vec<f32> = rng.normals(slots.len() * d / 2, 900.0);
    let angles: Angles = (
        angles.iter().map(|a| f64::from(*a).cos() as f32).collect(),
        angles.iter().map(|a| f64::from(*a).sin() as f32).collect(),
    );
    let shape =
        CacheShape::new(blocks, bs, heads, d, stored, stored).with_per_token_head(dynamic, dynamic);
    let scale = |base: f32| match stored.is_quantized() && !dynamic {
        true => KvScale::PerHead((0..heads).map(|h| base * (1.0 + h as f32)).collect()),
        false => KvScale::ONE,
    };
    let scales = LayerScales { k: scale(0.013), v: scale(0.03), ..LayerScales::default() };
    let mut host = ReferenceBackend.new_cache(shape.clone()).unwrap();
    let want_k = turned(&k, &angles, heads, d);
    ReferenceBackend.append(&mut host, &scales, &want_k, &v, &slots).unwrap();

    let device = Emulated::new(arch);
    let bytes = blocks * bs * heads * d * stored.size();
    let floats = |values: &[f32]| put(&device, values, f32::to_le_bytes);
    let own_scales = || floats(&vec![0.0; blocks * bs * heads]);
    let per_head = |s: &KvScale| floats(&(0..heads).map(|h| s.get(h)).collect::<Vec<_>>());
    let number = [F16, Bf16, F8E4M3, F8E5M2, Int8].iter().position(|t| *t == stored).unwrap();
    let row = (d * stored.size()) as u32;
    let mut sides = Vec::new();
    let mut argument = Argument::default();
    for (x, scale) in [(&k, &scales.k), (&v, &scales.v)] {
        let cache = put(&device, &vec![0u8; bytes], |b| [b]);
        sides.push((floats(x), cache, per_head(scale), own_scales(), floats(&vec![0.0; heads])));
        let (from, cache, scale, own, absmax) = sides.last().unwrap();
        let own = dynamic.then_some(own);
        argument.pointers(&device, &[Some(from), Some(cache), Some(scale), own, Some(absmax)]);
        argument.words(&[bs as u32 * heads as u32 * row, 0, heads as u32 * row, row]);
        argument.words(&[number as u32, 0]);
    }
    let memory = [floats(&angles.0), floats(&angles.1)];
    let slot_memory = put(&device, &slots, i64::to_le_bytes);
    let [cos, sin] = &memory;
    argument.pointers(&device, &[Some(&slot_memory), Some(cos), Some(sin)]);
    argument.words(&[(heads * bs) as u32, 1, bs as u32, bs.trailing_zeros()]);
    argument.words(&[slots.len() as u32, heads as u32, d as u32, 0]);
    let grid = [(slots.len() * heads).div_ceil(4) as u32, 2, 1];
    let (module, kernel) = ("append", "append_kv");
    let launch = Launch { module, kernel, grid, threads: 128, shared: 0, argument: &argument.0 };
    // SAFETY: the memory is as large as the kernel takes it to be, and an emulated device would tell.
    unsafe { device.launch(&launch) }.unwrap();

    let name = format!("{arch} {stored} d {d}, dynamic {dynamic}");
    for (side, buffer, x) in [(0, host.k(), &want_k), (1, host.v(), &v)] {
        let (_, cache, _, own, absmax) = &sides[side];
        assert!(read(&device, cache, bytes) == buffer.bytes(), "{name}: side {side}");
        if dynamic {
            let got = read(&device, own, blocks * bs * heads * 4);
            assert!(got == buffer.scales(), "{name}: scales of side {side}");
        }
        let got = read(&device, absmax, heads * 4);
        for (head, got) in got.as_chunks::<4>().0.iter().enumerate() {
            // Of what is stored: not of the skipped token.
            let rows = x.chunks_exact(d).enumerate();
            let of_head = rows.filter(|(i, _)| i % heads == head && slots[i / heads] >= 0);
            let most = of_head.flat_map(|(_, row)| row).fold(0.0f32, |m, x| m.max(x.abs()));
            assert_eq!(f32::from_le_bytes(*got), most, "{name}: absmax of side {side}, {head}");
        }
    }
}

#[test]
fn k_is_turned_and_magnitudes_are_noted() {
    for arch in ARCHS {
        for (i, stored) in [F8E4M3, F8E5M2, Int8, F16, Bf16].into_iter().enumerate() {
            for d in [[64, 128], [96, 256], [8, 64], [136, 128], [64, 80]][i] {
                check(arch, stored, d, false);
            }
        }
        check(arch, F8E4M3, 64, true);
        check(arch, Int8, 128, true);
    }
}
