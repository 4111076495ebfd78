//! Every kernel of a step, from the PTX of each architecture, against [`crate::ops`] and f64. Without a
//! driver each test says `skipped: no libcuda`; `cargo xtask test` has the emulated device for them.

mod gate;
mod library;
mod linear;

use attn_kernels::cuda::{CudaBackend, CudaDevice, CudaMemory, CudaTensor, Driver};
use fp8_format::ElementType;
use gate::{PROFILES, on_every_device};

use super::MODULES;
use super::ops::{Heads, Ops, PARTS, Planes};
use super::weights::{CudaMatrix, padded};
use crate::ops::{self, Angles, Rotary, WeightType};

type Backend = CudaBackend<CudaDevice>;
type Tensor = CudaTensor<CudaMemory>;

#[test]
fn the_linear_layer_is_within_its_bound_and_independent_of_the_rows_beside_it() {
    let test =
        "cuda::tests::the_linear_layer_is_within_its_bound_and_independent_of_the_rows_beside_it";
    on_every_device(test, &PROFILES, linear::bound_and_invariance);
}

#[test]
fn layers_of_one_input_and_any_types_are_one_call() {
    let test = "cuda::tests::layers_of_one_input_and_any_types_are_one_call";
    on_every_device(test, &PROFILES, linear::several);
}

#[test]
fn norms_are_near_exact() {
    on_every_device("cuda::tests::norms_are_near_exact", &PROFILES, norms);
}

#[test]
fn heads_turn_as_on_the_cpu() {
    on_every_device("cuda::tests::heads_turn_as_on_the_cpu", &PROFILES, heads);
}

#[test]
fn silu_is_near_exact_everywhere() {
    on_every_device("cuda::tests::silu_is_near_exact_everywhere", &PROFILES, silu);
}

#[test]
fn parts_are_the_whole_and_embeddings_the_table() {
    let test = "cuda::tests::parts_are_the_whole_and_embeddings_the_table";
    on_every_device(test, &PROFILES, parts_and_embeddings);
}

#[test]
fn a_library_gets_every_product_that_it_can_compute() {
    let test = "cuda::tests::a_library_gets_every_product_that_it_can_compute";
    on_every_device(test, &["sm_90"], library::on_the_host);
}

fn backend() -> Backend {
    CudaBackend::new(CudaDevice::with_modules(0, MODULES).unwrap())
}

/// From -1 to 1.
fn random(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Rows filled up with zeros to `stride`.
fn wide(rows: &[f32], width: usize, stride: usize) -> Vec<f32> {
    let fill = |row: &[f32]| [row, &vec![0.0; stride - width]].concat();
    rows.chunks_exact(width).flat_map(fill).collect()
}

/// Memory for planes.
fn plane_memory(backend: &Backend, rows: usize, depth: usize) -> Tensor {
    backend.zeros_of(ElementType::Bf16, PARTS * rows * depth).unwrap()
}

/// The planes of rows of `width`.
fn split(backend: &Backend, x: &[f32], width: usize) -> (Tensor, Planes) {
    let (rows, depth) = (x.len() / width, padded(width));
    let memory = plane_memory(backend, rows, depth);
    let planes = Ops(backend).planes(&memory, rows, depth);
    let x = backend.upload(&wide(x, width, depth)).unwrap();
    Ops(backend).split(&x, planes).unwrap();
    (memory, planes)
}

/// The sums of planes, exactly; and their last part.
fn sums(backend: &Backend, planes: &Tensor) -> (Vec<f64>, Vec<f32>) {
    let (memory, offset) = planes.memory();
    let mut bytes = vec![0; planes.bytes()];
    backend.driver().read(memory, offset, &mut bytes).unwrap();
    let mut parts = vec![0.0; planes.len()];
    WeightType::Bf16.to_f32(&bytes, &mut parts);
    let count = parts.len() / PARTS;
    let sum = |i: usize| (0..PARTS).map(|part| f64::from(parts[part * count + i])).sum();
    ((0..count).map(sum).collect(), parts.split_off((PARTS - 1) * count))
}

fn norms() {
    let backend = backend();
    for width in [1, 13, 32, 576, 1100] {
        let (stride, rows) = (padded(width), 5);
        let (x, weight) = (random(rows * width, 1), random(width, 2));
        let mut want = vec![0.0; x.len()];
        ops::rms_norm(&x, &weight, 1e-5, &mut want);
        let on_device = backend.upload(&wide(&x, width, stride)).unwrap();
        let weight = backend.upload(&wide(&weight, width, stride)).unwrap();
        // All rows, and some in an order of their own: a row's bits do not depend on its place.
        let order = [3u32, 0, 3];
        let list: Vec<f32> = order.iter().map(|&row| f32::from_bits(row)).collect();
        let list = backend.upload(&list).unwrap();
        let run = |rows: Option<u64>, count: usize| {
            let memory = plane_memory(&backend, count, stride);
            let planes = Ops(&backend).planes(&memory, count, stride);
            Ops(&backend).norm(&on_device, &weight, rows, width, 1e-5, planes).unwrap();
            sums(&backend, &memory).0
        };
        let all = run(None, rows);
        for (row, want) in want.chunks(width).enumerate() {
            let got = &all[row * stride..][..stride];
            assert!(got[width..].iter().all(|x| *x == 0.0), "what fills a row up stays zero");
            for (got, want) in got.iter().zip(want) {
                let want = f64::from(*want);
                assert!((got - want).abs() <= 1e-6 * want.abs(), "{width}: {got} for {want}");
            }
        }
        let some = run(Some(backend.address(&list)), order.len());
        for (place, row) in order.into_iter().enumerate() {
            assert_eq!(some[place * stride..][..stride], all[row as usize * stride..][..stride]);
        }
    }
}

fn heads() {
    let backend = backend();
    for (heads, kv_heads, head_dim, stride) in
        [(3, 1, 2, 64), (4, 2, 32, 64), (5, 5, 80, 96), (2, 1, 256, 256)]
    {
        let positions = [0, 1, 77, 4000, 1_000_000];
        let rows = positions.len();
        let rope = crate::config::Rope { theta: 1e4, scaling: crate::config::RopeScaling::Default };
        let mut angles = Angles::default();
        Rotary::new(&rope, head_dim).angles(&positions, &mut angles);
        let (q, k) = (random(rows * heads * head_dim, 3), random(rows * kv_heads * head_dim, 4));
        let norm = [random(head_dim, 5), random(head_dim, 6)];
        for normed in [false, true] {
            let (mut want_q, mut want_k) = (q.clone(), k.clone());
            if normed {
                ops::rms_norm_heads(&mut want_q, &norm[0], 1e-6);
                ops::rms_norm_heads(&mut want_k, &norm[1], 1e-6);
            }
            angles.rotate(&mut want_q, heads, head_dim);
            angles.rotate(&mut want_k, kv_heads, head_dim);
            let [got_q, got_k] =
                [&q, &k].map(|x| backend.upload(&wide(x, head_dim, stride)).unwrap());
            let [cos, sin] = [angles.cos(), angles.sin()].map(|x| backend.upload(x).unwrap());
            let norms = [0, 1].map(|i| backend.upload(&norm[i]).unwrap());
            let call = Heads {
                q: &got_q,
                k: &got_k,
                angles: [backend.address(&cos), backend.address(&sin)],
                norms: normed.then_some(&norms),
                rows,
                heads,
                kv_heads,
                head_dim,
                stride,
                eps: 1e-6,
            };
            Ops(&backend).rotate(&call).unwrap();
            for (got, want) in [(got_q, want_q), (got_k, want_k)] {
                let (got, want) = (backend.download(&got).unwrap(), wide(&want, head_dim, stride));
                if !normed {
                    let same = got.iter().zip(&want).all(|(a, b)| a.to_bits() == b.to_bits());
                    assert!(same, "{heads} heads of {head_dim}: other bits than the CPU's");
                    continue;
                }
                for (got, want) in got.iter().zip(&want) {
                    // A turn adds two numbers of up to the largest of its head, about 3.
                    assert!((got - want).abs() <= 2e-6, "{heads} × {head_dim}: {got} for {want}");
                }
            }
        }
    }
}

fn silu() {
    let backend = backend();
    let mut gates: Vec<f32> = (-4000..4000).map(|i| i as f32 / 40.0).collect();
    gates.extend([0.0, -0.0, 1e-30, -1e-30, 88.0, -88.0, 1e30, -1e30, f32::MAX, f32::MIN]);
    gates.resize(gates.len().next_multiple_of(32), 1.0);
    let up = vec![0.5; gates.len()];
    let run = |gates: &[f32], up: &[f32]| {
        let memory = plane_memory(&backend, 1, gates.len());
        let planes = Ops(&backend).planes(&memory, 1, gates.len());
        let [gates, up] = [gates, up].map(|x| backend.upload(x).unwrap());
        Ops(&backend).silu_mul(&gates, &up, planes).unwrap();
        sums(&backend, &memory).0
    };
    for (gate, got) in gates.iter().zip(run(&gates, &up)) {
        let g = f64::from(*gate);
        let want = 0.5 * g / (1.0 + (-g).exp());
        let error = (got - want).abs();
        assert!(error <= 6e-7 * want.abs() + 1e-35, "silu({gate}) = {got}, exactly {want}");
    }
    let broken = run(&[f32::NAN, 1.0, 1.0, 1.0], &[1.0, f32::NAN, f32::INFINITY, 1.0]);
    assert!(broken[..3].iter().all(|x| x.is_nan()) && broken[3].is_finite());
}

fn parts_and_embeddings() {
    let backend = backend();
    // Every exponent for which the last part is a normal number, and zeros.
    let mut x: Vec<f32> = random(4096, 7)
        .into_iter()
        .enumerate()
        .map(|(i, x)| x * 2.0f32.powi(i as i32 % 200 - 100))
        .collect();
    x[..4].copy_from_slice(&[0.0, -0.0, 1.0, 1.0 + f32::EPSILON]);
    let (memory, _) = split(&backend, &x, 64);
    let (whole, last) = sums(&backend, &memory);
    assert!(x.iter().zip(&whole).all(|(x, sum)| f64::from(*x) == *sum), "the parts are the whole");
    assert!(last.iter().filter(|x| **x != 0.0).count() > 3000, "the last part is used");

    for (dtype, element) in [
        (WeightType::F32, ElementType::F32),
        (WeightType::F16, ElementType::F16),
        (WeightType::Bf16, ElementType::Bf16),
    ] {
        let (rows, width) = (7, 96);
        let (bytes, exact) = linear::stored(&random(rows * width, 8), dtype);
        let values = backend.upload_bytes(element, &bytes).unwrap();
        let table = CudaMatrix { values, dtype, out: rows, depth: width };
        let tokens = [6u32, 0, 3, 6];
        let words: Vec<f32> = tokens.iter().map(|&token| f32::from_bits(token)).collect();
        let words = backend.upload(&words).unwrap();
        let got = backend.zeros(tokens.len() * width).unwrap();
        Ops(&backend).embed(&table, backend.address(&words), tokens.len(), &got).unwrap();
        let got = backend.download(&got).unwrap();
        for (token, got) in tokens.into_iter().zip(got.chunks(width)) {
            assert_eq!(got, &exact[token as usize * width..][..width], "{dtype:?}");
        }
    }
}
