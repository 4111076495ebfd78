//! Resolution is total and does not depend on the order of tensors; and over a whole grid it does
//! what the reference text does, written down here as it stands, deviations named.

use std::borrow::Cow;

use kv_scales::resolve::{Inputs, RawTensor, resolve_inputs};
use kv_scales::{
    KvDtype, KvDtypes, ModelShape, Platform, QFallback, ResolveOptions, ScaleValue, SkipLayers,
    Slot, TensorDtype,
};
use proptest::prelude::*;

fn name() -> impl Strategy<Value = String> {
    let prefix = prop::sample::select(vec!["", "model.", "a.b.", "vision_tower.", "x.layers.1."]);
    let layer =
        prop::sample::select(vec!["layers.0.", "layers.1.", "layers.2.", "layers.9.", "h.0."]);
    let rest = prop::sample::select(vec![
        "self_attn.q_scale",
        "self_attn.k_scale",
        "self_attn.v_scale",
        "self_attn.attn.k_scale",
        "attn.v_scale",
        "self_attn.kv_scale",
        "self_attn.prob_scale",
        "self_attn.k_proj.output_scale",
        "self_attn.v_proj.v_scale",
        "self_attn.k_zero_point",
        "self_attn.qkv_proj.k_scale",
        "self_attn.k_proj.weight_scale",
        "mlp.k_scale",
        "self_attn.k_proj.weight",
    ]);
    prop_oneof![
        8 => (prefix, layer, rest).prop_map(|(p, l, r)| format!("{p}{l}{r}")),
        1 => "[a-z_.0-9]{0,24}(k_scale|v_scale|zero_point|scale)",
        1 => any::<String>(),
    ]
}

fn tensor() -> impl Strategy<Value = RawTensor<'static>> {
    use TensorDtype::{Bf16, F16, F32, F64, I8};
    let dtype = prop::sample::select(vec![F32, F32, F32, Bf16, F16, F64, I8]);
    let shapes: Vec<Vec<usize>> = vec![
        vec![],
        vec![],
        vec![1],
        vec![2],
        vec![2, 1, 1],
        vec![4, 1, 1],
        vec![1, 2, 1, 1],
        vec![3, 3],
    ];
    let shape = prop::sample::select(shapes);
    let value = prop::sample::select(vec![1.0_f32, 1.0, 0.5, 2.0, 0.0, -1.0, f32::NAN, f32::MAX]);
    (name(), dtype, shape, value, 0..20_usize).prop_map(|(name, dtype, shape, value, odd)| {
        let count: usize = shape.iter().product();
        let one = match dtype {
            Bf16 => value.to_le_bytes()[2..].to_vec(),
            F16 => vec![0, 0x3c],
            F64 => f64::from(value).to_le_bytes().to_vec(),
            I8 => vec![value as i8 as u8],
            _ => value.to_le_bytes().to_vec(),
        };
        let mut bytes = one.repeat(count);
        // Now and then bytes that are not those of the shape, or none.
        match odd {
            0 => bytes.truncate(1),
            1 => bytes.push(0),
            _ => {}
        }
        let bytes = (odd != 2).then_some(Cow::Owned(bytes));
        RawTensor { name, dtype, shape, bytes }
    })
}

fn options() -> impl Strategy<Value = ResolveOptions> {
    let dtype = || prop::sample::select(KvDtype::ALL.to_vec());
    (dtype(), dtype(), any::<[bool; 6]>(), 0..4_usize).prop_map(|(k, v, flags, skip)| {
        ResolveOptions {
            dtype: KvDtypes { k, v: if flags[0] { k } else { v } },
            calculate_kv_scales: flags[1],
            platform: if flags[2] { Platform::Fnuz } else { Platform::Ocp },
            strict: flags[3],
            rescale: flags[4],
            q_fallback: if flags[5] { QFallback::KScale } else { QFallback::One },
            skip_layers: SkipLayers {
                layers: if skip == 3 { vec![1] } else { vec![] },
                sliding_window: false,
            },
            ..Default::default()
        }
    })
}

fn inputs(tensors: Vec<RawTensor<'static>>) -> Inputs<'static> {
    Inputs {
        model: ModelShape::uniform(3, 4, 2),
        scheme: None,
        target: None,
        tensors,
        unlisted_files: vec![],
    }
}

/// Everything a caller can see, errors included.
fn outcome(tensors: Vec<RawTensor<'static>>, options: &ResolveOptions) -> String {
    match resolve_inputs(&inputs(tensors), options) {
        Ok(scales) => {
            for layer in scales.layers() {
                for slot in Slot::ALL {
                    let values = layer.get(slot).value.values();
                    assert!(values.iter().all(|v| v.is_finite() && *v > 0.0), "{layer:?}");
                }
            }
            format!("{:?} {:?}", scales.report(), scales.fingerprint())
        }
        Err(error) => error.to_string(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn resolution_is_total_and_order_does_not_matter(
        tensors in prop::collection::vec(tensor(), 0..12),
        shuffled in any::<prop::sample::Index>(),
        options in options(),
    ) {
        let mut other = tensors.clone();
        other.reverse();
        if !other.is_empty() {
            let middle = shuffled.index(other.len());
            other.rotate_left(middle);
        }
        prop_assert_eq!(outcome(tensors, &options), outcome(other, &options));
    }

    #[test]
    fn lenient_refuses_less_than_strict(
        tensors in prop::collection::vec(tensor(), 0..8),
        options in options(),
    ) {
        let run = |strict| {
            let options = ResolveOptions { strict, ..options.clone() };
            resolve_inputs(&inputs(tensors.clone()), &options)
        };
        // What strict accepts, lenient accepts with the same scales.
        if let Ok(strict) = run(true) {
            let lenient = run(false).unwrap();
            prop_assert_eq!(strict.layers(), lenient.layers());
        }
    }
}

/// The reference text's `process_weights_after_loading`, with its sentinel of -1 for unset, for
/// one dtype and per-tensor scales. Returns (q, k, v, prob); `None` where it asserts.
fn reference(
    (q, k, v, prob): (f32, f32, f32, f32),
    dtype: KvDtype,
    fnuz: bool,
) -> Option<(f32, f32, f32, f32)> {
    let fp8 = dtype.name().starts_with("fp8");
    let double = if fnuz && fp8 { 2.0 } else { 1.0 };
    let (k_scale, v_scale) = if k > 0.0 && v > 0.0 {
        (k * double, v * double)
    } else if k < 0.0 && v < 0.0 {
        (1.0, 1.0)
    } else if k > 0.0 {
        (k.max(v) * double, k.max(v) * double)
    } else {
        return None;
    };
    // Deviation: the text doubles q and prob for INT8 as well.
    let q_scale = if q > 0.0 { q * double } else { 1.0 };
    let prob_scale = if prob > 0.0 { prob * double } else { 1.0 };
    Some((q_scale, k_scale, v_scale, prob_scale))
}

#[test]
fn the_whole_grid_agrees_with_the_reference_text() {
    let choices = [-1.0_f32, 0.5, 1.0, 3.0];
    let mut cases = 0;
    for dtype in [KvDtype::Fp8E4M3, KvDtype::Fp8E5M2, KvDtype::Int8] {
        for platform in [Platform::Ocp, Platform::Fnuz] {
            for code in 0..256_usize {
                let [q, k, v, prob] = [0, 2, 4, 6].map(|shift| choices[code >> shift & 3]);
                let tensors = [(Slot::Q, q), (Slot::K, k), (Slot::V, v), (Slot::Prob, prob)];
                let tensors =
                    tensors.iter().filter(|(_, value)| *value > 0.0).map(|(slot, value)| {
                        RawTensor {
                            name: format!("model.layers.0.self_attn.{slot}_scale"),
                            dtype: TensorDtype::F32,
                            shape: vec![],
                            bytes: Some(Cow::Owned(value.to_le_bytes().to_vec())),
                        }
                    });
                let inputs = Inputs {
                    model: ModelShape::uniform(1, 4, 2),
                    target: Some(dtype.into()),
                    ..inputs(tensors.collect())
                };
                let options =
                    ResolveOptions { dtype: dtype.into(), platform, ..Default::default() };
                let got = resolve_inputs(&inputs, &options).ok().map(|scales| {
                    let layer = &scales.layers()[0];
                    let value = |slot| match layer.get(slot).value {
                        ScaleValue::PerTensor(value) => value,
                        ref other => panic!("{other:?}"),
                    };
                    (value(Slot::Q), value(Slot::K), value(Slot::V), value(Slot::Prob))
                });
                let expected = reference((q, k, v, prob), dtype, platform == Platform::Fnuz);
                assert_eq!(got, expected, "{dtype} {platform:?} q {q} k {k} v {v} prob {prob}");
                cases += 1;
            }
        }
    }
    assert_eq!(cases, 3 * 2 * 256);
}
