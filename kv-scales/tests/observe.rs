//! Observers against plain definitions: sorted values, brute force, the formulas of llm-compressor.

use fp8_format::{F8E4M3, F8E4M3Fnuz, F8E5M2, F8E5M2Fnuz, Overflow};
use kv_scales::observe::{AVERAGING_CONSTANT, Format, Observer, TensorObserver};
use kv_scales::scheme::Strategy;
use kv_scales::{KvDtype, ScaleValue, Slot};
use proptest::prelude::*;

const DTYPES: [KvDtype; 5] =
    [KvDtype::Fp8E4M3, KvDtype::Fp8E5M2, KvDtype::Fp8E4M3Fnuz, KvDtype::Fp8E5M2Fnuz, KvDtype::Int8];

/// One value as it comes back: scalar code, written out.
fn stored(dtype: KvDtype, x: f32, scale: f32) -> f32 {
    let y = x / scale;
    let code = match dtype {
        KvDtype::Fp8E4M3 => F8E4M3::from_f32(y, Overflow::Saturate).to_f32(),
        KvDtype::Fp8E5M2 => F8E5M2::from_f32(y, Overflow::Saturate).to_f32(),
        KvDtype::Fp8E4M3Fnuz => F8E4M3Fnuz::from_f32(y, Overflow::Saturate).to_f32(),
        KvDtype::Fp8E5M2Fnuz => F8E5M2Fnuz::from_f32(y, Overflow::Saturate).to_f32(),
        _ => y.clamp(-127.0, 127.0).round_ties_even(),
    };
    code * scale
}

fn squared_error(dtype: KvDtype, values: &[f32], scale: f32) -> f64 {
    values.iter().map(|x| (f64::from(*x) - f64::from(stored(dtype, *x, scale))).powi(2)).sum()
}

/// Heavy-tailed values: sums of a few uniform ones, some times a large factor.
fn values(seed: u64, count: usize, outliers: f64) -> Vec<f32> {
    let mut state = seed;
    let mut unit = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..count)
        .map(|_| {
            let normal: f64 = (0..6).map(|_| unit() - 0.5).sum();
            let factor = if unit() < outliers { 8.0 } else { 1.0 };
            (normal * factor) as f32
        })
        .collect()
}

fn observer(heads: usize, rows: &[&[f32]]) -> TensorObserver {
    let mut observer = TensorObserver::new(3, Slot::K, heads, rows[0].len() / heads);
    for row in rows {
        observer.observe(row).unwrap();
        observer.end_batch();
    }
    observer
}

fn one(scales: &ScaleValue) -> f32 {
    let ScaleValue::PerTensor(scale) = scales else { panic!("{scales:?}") };
    *scale
}

/// The error of the scale that `mse` finds is within 3% of the least that any of 640 scales has,
/// and never above that of absmax by more than the bins' error.
#[test]
fn mse_is_near_the_brute_force_minimum() {
    for dtype in DTYPES {
        let format = Format::new(dtype).unwrap();
        for (seed, outliers) in [(1, 0.0), (2, 0.01), (3, 0.001)] {
            let values = values(seed, 16_384, outliers);
            let observer = observer(1, &[&values]);
            let found = one(&observer.scales(Observer::Mse, format, Strategy::Tensor).unwrap());
            let full = one(&observer.scales(Observer::Absmax, format, Strategy::Tensor).unwrap());
            let error = |scale: f32| squared_error(dtype, &values, scale);
            let brute = (0..=640)
                .map(|i| error(full * (-4.0 + i as f32 / 128.0).exp2()))
                .fold(f64::INFINITY, f64::min);
            let ratio = error(found) / brute;
            assert!(ratio < 1.03, "{dtype}, {outliers}: {found}, {ratio} times the least");
            assert!(error(found) <= 1.005 * error(full), "{dtype}");
        }
    }
}

/// Per head, `mse` is within the 5% that it allows itself of the least error of that head (each error
/// being known to 3%, as above), and between the scale of the tensor and its own best.
#[test]
fn mse_per_head_leaves_the_scale_of_the_tensor_only_for_a_gain() {
    for dtype in DTYPES {
        let format = Format::new(dtype).unwrap();
        let (large, small) = (values(1, 16_384, 0.1), values(2, 16_384, 0.1));
        // One head is much smaller than the other, and the third is just as the first.
        let heads = [large.clone(), small.iter().map(|x| x / 8.0).collect(), large];
        let observer = observer(3, &[&heads.concat()]);
        let shared = one(&observer.scales(Observer::Mse, format, Strategy::Tensor).unwrap());
        let scales = observer.scales(Observer::Mse, format, Strategy::AttnHead).unwrap();
        for (values, scale) in heads.iter().zip(scales.values()) {
            let single = self::observer(1, &[values]);
            let best = one(&single.scales(Observer::Mse, format, Strategy::Tensor).unwrap());
            let error = |scale: f32| squared_error(dtype, values, scale);
            let ratio = error(*scale) / error(best);
            assert!(
                ratio <= 1.05 * 1.03 / 0.97,
                "{dtype}: {scale} has {ratio} times the error of {best}"
            );
            let (low, high) = (shared.min(best), shared.max(best));
            assert!((low * 0.999..=high * 1.001).contains(scale), "{dtype}: {scale} {low} {high}");
        }
        // Steps of one size are worth a scale of one's own; heads that are alike share theirs.
        assert!(dtype != KvDtype::Int8 || scales.values()[1] < 0.5 * shared, "{scales:?} {shared}");
        assert_eq!(scales.values()[0], scales.values()[2]);
    }
}

/// What is reported of a head is what storing every value gives.
#[test]
fn fidelity_is_that_of_the_values_themselves() {
    for dtype in DTYPES {
        let format = Format::new(dtype).unwrap();
        let values = values(5, 20_000, 0.01);
        let observer = observer(1, &[&values]);
        let full = one(&observer.scales(Observer::Absmax, format, Strategy::Tensor).unwrap());
        for factor in [4.0, 1.0, 0.25, 0.05] {
            let scale = full * factor;
            let seen = observer.fidelity(format, &ScaleValue::PerTensor(scale)).unwrap()[0];
            let count = |is: &dyn Fn(f32) -> bool| {
                values.iter().filter(|x| is(**x)).count() as f64 / values.len() as f64
            };
            let saturated = count(&|x| x.abs() > scale * format.max());
            let zero = count(&|x| x != 0.0 && stored(dtype, x, scale) == 0.0);
            let signal: f64 = values.iter().map(|x| f64::from(*x).powi(2)).sum();
            let sqnr = 10.0 * (signal / squared_error(dtype, &values, scale)).log10();
            assert!((seen.saturated - saturated).abs() < 2e-3, "{dtype} {factor}: {seen:?}");
            assert!((seen.underflowed - zero).abs() < 2e-3, "{dtype} {factor}: {seen:?} {zero}");
            assert!((seen.sqnr_db - sqnr).abs() < 0.15, "{dtype} {factor}: {seen:?} {sqnr}");
            let max = values.iter().copied().fold(f32::MIN, f32::max);
            assert_eq!((seen.max, seen.scale), (max, scale));
        }
    }
}

#[test]
fn heads_are_observed_apart_and_a_tensor_as_their_union() {
    let rows = [[1.0, -2.0, 10.0, 0.0], [0.5, 0.5, -40.0, 3.0]];
    let observer = observer(2, &[&rows[0], &rows[1]]);
    let format = Format::new(KvDtype::Fp8E4M3).unwrap();
    let of = |observer_: Observer, strategy| {
        observer.scales(observer_, format, strategy).unwrap().values().to_vec()
    };
    assert_eq!(of(Observer::Absmax, Strategy::AttnHead), [2.0 / 448.0, 40.0 / 448.0]);
    assert_eq!(of(Observer::Absmax, Strategy::Tensor), [40.0 / 448.0]);
    // The average of the extremes over both heads: -2 and 10, then -40 and 3.
    let moved = |old: f32, new: f32| old + AVERAGING_CONSTANT * (new - old);
    let tensor = moved(10.0, 3.0).max(-moved(-2.0, -40.0)) / 448.0;
    assert_eq!(of(Observer::MinMax, Strategy::Tensor), [tensor]);
    let heads = [
        moved(1.0, 0.5).max(-moved(-2.0, 0.5)) / 448.0,
        moved(10.0, 3.0).max(-moved(0.0, -40.0)) / 448.0,
    ];
    assert_eq!(of(Observer::MinMax, Strategy::AttnHead), heads);
    assert_eq!(of(Observer::Percentile(100.0), Strategy::Tensor), [40.0 / 448.0]);
}

#[test]
fn zeros_infinities_and_wrong_lengths_are_errors_with_their_place() {
    let format = Format::new(KvDtype::Int8).unwrap();
    let zeros = observer(2, &[&[0.0, 0.0, 1.0, 1.0]]);
    zeros.scales(Observer::Absmax, format, Strategy::Tensor).unwrap();
    for wanted in [Observer::Absmax, Observer::MinMax, Observer::Percentile(99.0), Observer::Mse] {
        let error = zeros.scales(wanted, format, Strategy::AttnHead).unwrap_err().to_string();
        assert!(error.contains("layer 3") && error.contains("absmax 0.0"), "{wanted}: {error}");
    }
    let mut observer = TensorObserver::new(3, Slot::V, 2, 2);
    let error = observer.observe(&[1.0; 6]).unwrap_err().to_string();
    assert!(error.contains("6 values") && error.contains("rows of 4"), "{error}");
    assert_eq!(observer.histogram(0).unwrap().count(), 0);
    let error = observer.observe(&[1.0, 1.0, f32::INFINITY, 1.0]).unwrap_err().to_string();
    assert_eq!(error, "layer 3, v, head 1: an activation is inf, all must be finite");
    // Nothing seen at all, a subnormal absmax, a scale of another tensor.
    let nothing = TensorObserver::new(0, Slot::Q, 1, 8);
    nothing.scales(Observer::MinMax, format, Strategy::Tensor).unwrap_err();
    let mut tiny = TensorObserver::new(0, Slot::Q, 1, 1);
    tiny.observe(&[1e-44]).unwrap();
    tiny.scales(Observer::Absmax, format, Strategy::Tensor).unwrap_err();
    for bad in [ScaleValue::PerHead([1.0; 3].into()), ScaleValue::PerTensor(0.0)] {
        zeros.fidelity(format, &bad).unwrap_err();
    }
    zeros.fidelity(format, &ScaleValue::Pending).unwrap_err();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What is found does not depend on how the rows come in, minmax's batches apart.
    #[test]
    fn the_parts_do_not_matter(seed in any::<u64>(), cut in 0usize..32) {
        let values = values(seed, 32 * 8, 0.05);
        let format = Format::new(KvDtype::Fp8E4M3).unwrap();
        let mut whole = TensorObserver::new(0, Slot::K, 2, 4);
        whole.observe(&values).unwrap();
        let mut parts = TensorObserver::new(0, Slot::K, 2, 4);
        parts.observe(&values[cut * 8..]).unwrap();
        parts.observe(&values[..cut * 8]).unwrap();
        whole.end_batch();
        parts.end_batch();
        for observer in [Observer::Absmax, Observer::MinMax, Observer::Percentile(90.0), Observer::Mse] {
            for strategy in [Strategy::Tensor, Strategy::AttnHead] {
                let a = whole.scales(observer, format, strategy).unwrap();
                prop_assert_eq!(a, parts.scales(observer, format, strategy).unwrap());
            }
        }
    }

    /// Values times a power of two have scales times it, exactly.
    #[test]
    fn scales_follow_the_values(seed in any::<u64>(), exponent in -20i32..20) {
        let values = values(seed, 256, 0.05);
        let factor = (exponent as f32).exp2();
        let scaled: Vec<f32> = values.iter().map(|x| x * factor).collect();
        let (plain, scaled) = (observer(1, &[&values]), observer(1, &[&scaled]));
        for dtype in DTYPES {
            let format = Format::new(dtype).unwrap();
            for wanted in [Observer::Absmax, Observer::Mse, Observer::Percentile(99.0)] {
                let of = |o: &TensorObserver| one(&o.scales(wanted, format, Strategy::Tensor).unwrap());
                prop_assert_eq!(of(&plain) * factor, of(&scaled));
            }
        }
    }
}
