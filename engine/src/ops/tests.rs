//! Every operation against f64, and the matrix product's invariance.

use super::*;
use half::{bf16, f16};

fn random(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// The bytes of a matrix, and the values they hold.
fn stored(values: &[f32], dtype: WeightType) -> (Vec<u8>, Vec<f32>) {
    let mut bytes = Vec::new();
    for x in values {
        match dtype {
            WeightType::F32 => bytes.extend(x.to_le_bytes()),
            WeightType::F16 => bytes.extend(f16::from_f32(*x).to_le_bytes()),
            WeightType::Bf16 => bytes.extend(bf16::from_f32(*x).to_le_bytes()),
        }
    }
    let mut exact = vec![0.0; values.len()];
    dtype.to_f32(&bytes, &mut exact);
    (bytes, exact)
}

fn product(x: &[f32], rows: usize, weight: Matrix<'_>, bias: &[f32]) -> Vec<f32> {
    let mut out = vec![f32::NAN; rows * weight.rows()];
    matmul(x, rows, [Product { weight, bias: Some(bias), out: &mut out }]);
    out
}

/// Rows at the edges of tiles, of widening and of row blocks; depths at the edges of lanes and of
/// depth blocks; columns at the edges of tiles and panels.
#[test]
fn the_product_is_within_its_bound_and_independent_of_the_rows_beside_it() {
    for dtype in [WeightType::F32, WeightType::F16, WeightType::Bf16] {
        for (columns, depth) in [(1, 1), (3, 7), (5, 8), (33, 40), (64, 129), (37, 1030), (4, 2100)]
        {
            let rows = if depth > 1024 { 130 } else { 14 };
            let x = random(rows * depth, 1);
            let (bytes, w) = stored(&random(columns * depth, 2), dtype);
            let bias = random(columns, 3);
            let weight = Matrix::new(&bytes, dtype, columns, depth);
            let all = product(&x, rows, weight, &bias);
            for row in 0..rows {
                let x = &x[row * depth..][..depth];
                for column in 0..columns {
                    let terms = x.iter().zip(&w[column * depth..]);
                    let terms = terms.map(|(x, w)| f64::from(*x) * f64::from(*w));
                    let (sum, size) = terms.fold((0.0, 0.0), |(s, a), t| (s + t, a + t.abs()));
                    let (want, got) = (sum + f64::from(bias[column]), all[row * columns + column]);
                    // depth / 8 steps of a lane, three of the tree, the bias.
                    let bound = f64::from(f32::EPSILON) * (depth as f64 / 8.0 + 5.0) * (size + 1.0);
                    assert!((f64::from(got) - want).abs() <= bound, "{dtype:?} {columns}×{depth}");
                }
            }
            for count in [1, 2, 3, 4, 6, 7, 8, rows - 1] {
                let some = product(&x[..count * depth], count, weight, &bias);
                assert_eq!(
                    some,
                    all[..count * columns],
                    "{dtype:?} {columns}×{depth}, {count} rows"
                );
            }
        }
    }
}

#[test]
fn products_of_one_input_and_any_threads_give_the_same_bits() {
    let (rows, depth) = (9, 72);
    let x = random(rows * depth, 4);
    let (bytes, _) = stored(&random(100 * depth, 5), WeightType::Bf16);
    let split = 61 * depth * 2;
    let matrices = [
        Matrix::new(&bytes[..split], WeightType::Bf16, 61, depth),
        Matrix::new(&bytes[split..], WeightType::Bf16, 39, depth),
    ];
    let run = |threads: usize| {
        let (mut a, mut b) = (vec![0.0; rows * 61], vec![0.0; rows * 39]);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let products = [
            Product { weight: matrices[0], bias: None, out: &mut a },
            Product { weight: matrices[1], bias: None, out: &mut b },
        ];
        pool.install(|| matmul(&x, rows, products));
        (a, b)
    };
    let (a, b) = run(1);
    assert_eq!(run(2), (a.clone(), b.clone()));
    assert_eq!(product(&x, rows, matrices[0], &[0.0; 61]), a);
    assert_eq!(product(&x, rows, matrices[1], &[0.0; 39]), b);
}

#[test]
fn the_scalar_product_is_within_the_same_bound() {
    let (bytes, w) = stored(&random(1001, 6), WeightType::F16);
    let x = random(1001, 7);
    let want: f64 = x.iter().zip(&w).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
    let size: f64 = x.iter().zip(&w).map(|(x, w)| f64::from((x * w).abs())).sum();
    let got = scalar::dot(&x, &bytes, WeightType::F16);
    assert!((f64::from(got) - want).abs() < f64::from(f32::EPSILON) * 130.0 * size);
}

#[test]
fn silu_is_near_exact_everywhere_and_the_same_at_every_place() {
    let mut gates: Vec<f32> = (-4000..4000).map(|i| i as f32 / 40.0).collect();
    gates.extend([0.0, -0.0, 1e-30, -1e-30, 88.0, -88.0, 1e30, -1e30, f32::MAX, f32::MIN]);
    let up = vec![0.5; gates.len()];
    let mut got = gates.clone();
    silu_mul(&mut got, &up);
    for (i, (gate, got)) in gates.iter().zip(&got).enumerate() {
        let g = f64::from(*gate);
        let want = 0.5 * g / (1.0 + (-g).exp());
        let error = (f64::from(*got) - want).abs();
        assert!(error <= 4e-7 * want.abs() + 1e-35, "silu({gate}) = {got}, exactly {want}");
        let mut one = [*gate];
        silu_mul(&mut one, &[0.5]);
        assert_eq!(one[0].to_bits(), got.to_bits(), "at {i}");
    }
    let mut nan = [f32::NAN, 1.0];
    silu_mul(&mut nan, &[1.0, f32::NAN]);
    assert!(nan[0].is_nan() && nan[1].is_nan());
}

#[test]
fn log_sum_exp_is_near_exact_and_shifts_with_its_input() {
    for count in [1, 7, 8, 9, 1000] {
        let x: Vec<f32> = random(count, 8).iter().map(|x| x * 30.0).collect();
        let want = x.iter().map(|x| f64::from(*x).exp()).sum::<f64>().ln();
        assert!((log_sum_exp(&x) - want).abs() < 2e-7, "{count}");
        let far: Vec<f32> = x.iter().map(|x| x + 1024.0).collect();
        assert!((log_sum_exp(&far) - want - 1024.0).abs() < 2e-4, "{count}");
    }
    assert!(log_sum_exp(&[0.0, f32::NAN]).is_nan());
    assert_eq!(log_sum_exp(&[3.0, f32::NEG_INFINITY]), 3.0);
}

#[test]
fn rms_norm_is_near_exact_per_row_and_per_head() {
    for width in [1, 8, 13, 576] {
        let (x, weight) = (random(3 * width, 9), random(width, 10));
        let mut y = vec![0.0; x.len()];
        rms_norm(&x, &weight, 1e-5, &mut y);
        for (x, y) in x.chunks(width).zip(y.chunks(width)) {
            let square: f64 = x.iter().map(|x| f64::from(*x).powi(2)).sum();
            let scale = 1.0 / (square / width as f64 + 1e-5).sqrt();
            for ((x, y), w) in x.iter().zip(y).zip(&weight) {
                let want = f64::from(*x) * scale * f64::from(*w);
                assert!((f64::from(*y) - want).abs() <= 1e-6 * want.abs());
            }
        }
        let mut heads = x.clone();
        rms_norm_heads(&mut heads, &weight, 1e-5);
        assert_eq!(heads, y);
    }
}

#[test]
fn rotation_keeps_length_and_turns_by_the_position() {
    let rope = crate::config::Rope { theta: 1e4, scaling: crate::config::RopeScaling::Default };
    let rotary = Rotary::new(&rope, 8);
    let mut angles = Angles::default();
    rotary.angles(&[0, 3, 1000], &mut angles);
    let x = random(3 * 2 * 8, 11);
    let mut y = x.clone();
    angles.rotate(&mut y, 2, 8);
    assert_eq!(y[..16], x[..16], "position 0 turns nothing");
    for (row, position) in [(1, 3.0f64), (2, 1000.0)] {
        for head in 0..2 {
            for pair in 0..4 {
                let at = row * 16 + head * 8 + pair;
                let (a, b) = (f64::from(x[at]), f64::from(x[at + 4]));
                let angle = position * f64::from(rotary.inverse_frequencies()[pair]);
                let want = [a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()];
                for (got, want) in [y[at], y[at + 4]].into_iter().zip(want) {
                    // Half an ulp of a thousand radians is 3e-5.
                    assert!((f64::from(got) - want).abs() < 5e-5, "pair {pair}");
                }
            }
        }
    }
    let frequencies: Vec<f32> = (0..4).map(|i| 10f64.powi(-i) as f32).collect();
    assert_eq!(rotary.inverse_frequencies(), frequencies);
}
