//! The linear layer: its accuracy, and that nobody beside a row changes its bits.

use super::super::ops::{Ops, Product};
use super::super::weights::{CudaLinear, CudaMatrix, padded};
use super::{Backend, Tensor, backend, random, split, wide};
use crate::ops::WeightType;
use attn_kernels::cuda::CudaMemory;
use fp8_format::ElementType;
use half::{bf16, f16};

/// The bytes of a matrix, and the values they hold.
pub(super) fn stored(values: &[f32], dtype: WeightType) -> (Vec<u8>, Vec<f32>) {
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|x| match dtype {
            WeightType::F32 => x.to_le_bytes().to_vec(),
            WeightType::F16 => f16::from_f32(*x).to_le_bytes().to_vec(),
            WeightType::Bf16 => bf16::from_f32(*x).to_le_bytes().to_vec(),
        })
        .collect();
    let mut exact = vec![0.0; values.len()];
    dtype.to_f32(&bytes, &mut exact);
    (bytes, exact)
}

/// A layer on the device, and its weights and biases.
struct Layer {
    linear: CudaLinear<CudaMemory>,
    weights: Vec<f32>,
    bias: Vec<f32>,
    out: usize,
}

fn layer(backend: &Backend, dtype: WeightType, out: usize, depth: usize, seed: u64) -> Layer {
    let (_, weights) = stored(&random(out * depth, seed), dtype);
    let (bytes, _) = stored(&wide(&weights, depth, padded(depth)), dtype);
    let element = match dtype {
        WeightType::F32 => ElementType::F32,
        WeightType::F16 => ElementType::F16,
        WeightType::Bf16 => ElementType::Bf16,
    };
    let values = backend.upload_bytes(element, &bytes).unwrap();
    let weight = CudaMatrix { values, dtype, out, depth: padded(depth) };
    let bias = random(out, seed + 1);
    let linear = CudaLinear { weight, bias: Some(backend.upload(&bias).unwrap()) };
    Layer { linear, weights, bias, out }
}

fn run(backend: &Backend, layer: &Layer, x: &[f32], depth: usize, to: &Tensor, stride: usize) {
    let (_memory, planes) = split(backend, x, depth);
    let product = Product { linear: &layer.linear, to, stride, accumulate: false };
    Ops(backend).linear(planes, &[product]).unwrap();
}

/// Rows at the edges of tiles and of the two kernels, outputs at the edges of tiles, depths at the
/// edges of a warp's step and of all four warps' steps.
pub(super) fn bound_and_invariance() {
    let backend = backend();
    for dtype in [WeightType::Bf16, WeightType::F16, WeightType::F32] {
        for (out, depth) in [(1, 1), (17, 24), (50, 128), (33, 130), (16, 1056)] {
            let layer = layer(&backend, dtype, out, depth, 1);
            let (rows, stride) = (37, out + 3);
            let x = random(rows * depth, 2);
            let to = backend.upload(&vec![-7.0; rows * stride]).unwrap();
            run(&backend, &layer, &x, depth, &to, stride);
            let all = backend.download(&to).unwrap();
            for (row, got) in all.chunks(stride).enumerate() {
                assert!(got[out..].iter().all(|x| *x == -7.0), "only outputs are written");
                let x = &x[row * depth..][..depth];
                for (column, got) in got[..out].iter().enumerate() {
                    let terms = x.iter().zip(&layer.weights[column * depth..]);
                    let terms = terms.map(|(x, w)| f64::from(*x) * f64::from(*w));
                    let (sum, size) = terms.fold((0.0, 0.0), |(s, a), t| (s + t, a + t.abs()));
                    let want = sum + f64::from(layer.bias[column]);
                    // The same bound as the CPU's: sums of 16 in turn, the products left out, four
                    // warps, the bias.
                    let bound = f64::from(f32::EPSILON) * (depth as f64 / 8.0 + 5.0) * (size + 1.0);
                    let error = (f64::from(*got) - want).abs();
                    assert!(error <= bound, "{dtype:?} {out}×{depth}: {error} of {bound}");
                }
            }
            for count in [1, 7, 8, 9, 16, 33] {
                let some = backend.zeros(count * stride).unwrap();
                run(&backend, &layer, &x[..count * depth], depth, &some, stride);
                let some = backend.download(&some).unwrap();
                for (some, all) in some.chunks(stride).zip(all.chunks(stride)) {
                    let same = some[..out].iter().zip(all).all(|(a, b)| a.to_bits() == b.to_bits());
                    assert!(same, "{dtype:?} {out}×{depth}, {count} rows: other bits");
                }
            }
        }
    }
}

/// Three layers at once, of two types, one adding to what is there: as one by one.
pub(super) fn several() {
    let backend = backend();
    let depth = 96;
    let layers = [
        layer(&backend, WeightType::Bf16, 40, depth, 3),
        layer(&backend, WeightType::F32, 33, depth, 5),
        layer(&backend, WeightType::Bf16, 64, depth, 7),
    ];
    for rows in [2, 20] {
        let x = random(rows * depth, 9);
        let (_memory, planes) = split(&backend, &x, depth);
        let before = |layer: &Layer| backend.upload(&vec![0.5; rows * layer.out]).unwrap();
        let together = layers.each_ref().map(before);
        let products: Vec<Product<'_, _>> = layers
            .iter()
            .zip(&together)
            .enumerate()
            .map(|(i, (layer, to))| Product {
                linear: &layer.linear,
                to,
                stride: layer.out,
                accumulate: i == 2,
            })
            .collect();
        Ops(&backend).linear(planes, &products).unwrap();
        for (i, (layer, together)) in layers.iter().zip(&together).enumerate() {
            let alone = before(layer);
            run(&backend, layer, &x, depth, &alone, layer.out);
            let [together, alone] = [together, &alone].map(|x| backend.download(x).unwrap());
            let added = if i == 2 { 0.5 } else { 0.0 };
            for (together, alone) in together.iter().zip(alone) {
                assert_eq!(*together, added + alone, "layer {i}");
            }
        }
    }
}
