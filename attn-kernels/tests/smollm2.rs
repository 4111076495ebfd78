//! Attention of a real model, as transformers computed it (`data/README.md`).
#![expect(clippy::excessive_precision, reason = "bf16 values, written exactly")]

mod common;

use attn_kernels::{CpuBackend, KvLayout, KvScale, LayerScales, ReferenceBackend};
use common::World;
use fp8_format::ElementType::{self, *};

const TOKENS: usize = 32;
const HEADS: usize = 9;
const KV_HEADS: usize = 3;
const D: usize = 64;

/// The stored tensors, in order.
struct Tensors(std::vec::IntoIter<f32>);

impl Tensors {
    fn open() -> Self {
        let (chunks, rest) = include_bytes!("data/smollm2_layers.f32").as_chunks::<4>();
        assert!(rest.is_empty());
        let all: Vec<f32> = chunks.iter().map(|&b| f32::from_le_bytes(b)).collect();
        Self(all.into_iter())
    }

    fn next(&mut self, heads: usize) -> Vec<f32> {
        self.0.by_ref().take(TOKENS * heads * D).collect()
    }

    fn world(&mut self) -> World {
        let [q, k, v] = [HEADS, KV_HEADS, KV_HEADS].map(|heads| vec![self.next(heads)]);
        World { heads: HEADS, kv_heads: KV_HEADS, d: D, k, v, q, scales: LayerScales::default() }
    }
}

/// The largest error over the whole output, relative to its largest element.
fn error(world: &World, stored: ElementType, scales: LayerScales, wanted: &[f32]) -> f32 {
    let world = World { scales, ..world.clone() };
    let shape = world.shape(16, KvLayout::Nhd, stored, stored);
    let tables = world.tables(&shape, 5);
    let cpu = CpuBackend::new();
    let cache = world.fill(&cpu, &shape, &tables);
    let prefill = world.attend(&cpu, &cache, &world.attention(), &tables, &[(0, 0, TOKENS)]).0;
    let decode: Vec<_> = (0..TOKENS).map(|t| (0, t, t + 1)).collect();
    let decoded = world.attend(&cpu, &cache, &world.attention(), &tables, &decode).0;
    assert_eq!(prefill, decoded);
    let slow = world.fill(&ReferenceBackend, &shape, &tables);
    let oracle =
        world.attend(&ReferenceBackend, &slow, &world.attention(), &tables, &[(0, 0, TOKENS)]);
    let absmax = wanted.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    let worst = |got: &[f32]| {
        got.iter().zip(wanted).fold(0.0f32, |m, (g, w)| m.max((g - w).abs())) / absmax
    };
    println!("{stored}: cpu {:e}, f64 {:e}", worst(&prefill), worst(&oracle.0));
    worst(&prefill)
}

#[test]
fn stored_layers() {
    let mut tensors = Tensors::open();
    let per_head = |s: [f32; 3]| KvScale::PerHead(s.into());
    let one = LayerScales::default;
    let first = tensors.world();
    assert!(error(&first, F32, one(), &tensors.next(HEADS)) < 2e-6);
    let tensor = LayerScales {
        k: KvScale::PerTensor(0.0234375),
        v: KvScale::PerTensor(0.0013427734375),
        ..one()
    };
    let e4m3_tensor = tensors.next(HEADS);
    assert!(error(&first, F8E4M3, tensor.clone(), &e4m3_tensor) < 2e-6);
    let head = LayerScales {
        k: per_head([0.01495361328125, 0.023193359375, 0.0126953125]),
        v: per_head([0.0013427734375, 0.00084686279296875, 0.000911712646484375]),
        ..one()
    };
    assert!(error(&first, F8E4M3, head, &tensors.next(HEADS)) < 2e-6);
    // The measure sees a swap of the two scales.
    let swapped = LayerScales { k: tensor.v.clone(), v: tensor.k.clone(), ..one() };
    assert!(error(&first, F8E4M3, swapped, &e4m3_tensor) > 1e-2);
    let last = tensors.world();
    assert!(error(&last, F32, one(), &tensors.next(HEADS)) < 2e-6);
    assert!(tensors.0.next().is_none());
}
