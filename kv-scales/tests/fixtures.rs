//! Real checkpoints, reduced to their scales, resolve to the values stored beside them.

use std::path::{Path, PathBuf};

use kv_scales::{
    Checkpoint, KvDtype, LayerScales, ResolveOptions, ResolvedScales, Slot, WarningCode, resolve,
};
use serde_json::Value;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn open(name: &str) -> Checkpoint {
    Checkpoint::open(&fixture(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn options(dtype: KvDtype) -> ResolveOptions {
    ResolveOptions { dtype: dtype.into(), ..Default::default() }
}

fn expected(name: &str) -> Value {
    let bytes = std::fs::read(fixture(name).join("expected.json")).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

fn values(layer: &LayerScales, slot: Slot) -> Vec<f64> {
    layer.get(slot).value.values().iter().map(|v| f64::from(*v)).collect()
}

fn check_values(name: &str, scales: &ResolvedScales) {
    let expected = expected(name);
    assert_eq!(scales.layers().len(), 30, "{name}");
    for layer in scales.layers() {
        let stored = &expected[layer.layer.to_string()];
        for slot in [Slot::K, Slot::V, Slot::Q] {
            let Some(stored) = stored[slot.name()].as_array() else {
                assert_eq!(values(layer, slot), [1.0], "{name} layer {} {slot}", layer.layer);
                continue;
            };
            let stored: Vec<f64> = stored.iter().map(|v| v.as_f64().unwrap()).collect();
            assert_eq!(values(layer, slot), stored, "{name} layer {} {slot}", layer.layer);
        }
    }
}

const K: &str = "model.layers.7.self_attn.k_scale";
const V: &str = "model.layers.7.self_attn.v_scale";

#[test]
fn every_form_resolves_to_its_stored_values() {
    use KvDtype::{Bf16, Fp8E4M3};
    for (name, auto, k, v, k_origin, v_origin) in [
        ("compressed_tensors_tensor", Fp8E4M3, Some(K), Some(V), "checkpoint", "checkpoint"),
        ("compressed_tensors_attn_head", Fp8E4M3, Some(K), Some(V), "checkpoint", "checkpoint"),
        ("compressed_tensors_attn_tensor", Fp8E4M3, Some(K), Some(V), "checkpoint", "checkpoint"),
        ("fp8_k_scale_v_scale", Bf16, Some(K), Some(V), "checkpoint", "checkpoint"),
        (
            "fp8_fused_kv_scale",
            Bf16,
            Some("model.layers.7.self_attn.kv_scale"),
            Some("model.layers.7.self_attn.kv_scale"),
            "checkpoint",
            "duplicated",
        ),
        (
            "modelopt",
            Fp8E4M3,
            Some("model.layers.7.self_attn.k_proj.k_scale"),
            Some("model.layers.7.self_attn.v_proj.v_scale"),
            "checkpoint",
            "checkpoint",
        ),
        (
            "quark",
            Fp8E4M3,
            Some("model.layers.7.self_attn.k_proj.output_scale"),
            Some("model.layers.7.self_attn.v_proj.output_scale"),
            "checkpoint",
            "checkpoint",
        ),
        (
            "legacy_kv_cache_scales_json",
            Bf16,
            Some("kv_cache_scales.json:layers.7.kv_scale"),
            Some("kv_cache_scales.json:layers.7.kv_scale"),
            "checkpoint",
            "duplicated",
        ),
        ("no_scales", Bf16, None, None, "default", "default"),
    ] {
        let checkpoint = open(name);
        let scales = resolve(&checkpoint, &options(Fp8E4M3)).unwrap();
        check_values(name, &scales);
        let layer = &scales.layers()[7];
        assert_eq!((layer.k.origin.name(), layer.k.origin.tensor()), (k_origin, k), "{name}");
        assert_eq!((layer.v.origin.name(), layer.v.origin.tensor()), (v_origin, v), "{name}");

        // `auto` is FP8 where a config asks for it; bare scale tensors do not.
        let scales = resolve(&checkpoint, &options(KvDtype::Auto)).unwrap();
        assert_eq!(scales.dtypes(), auto.into(), "{name}");
        if auto == Fp8E4M3 {
            check_values(name, &scales);
        } else {
            let ones = |l: &LayerScales| Slot::ALL.iter().all(|s| values(l, *s) == [1.0]);
            assert!(scales.layers().iter().all(ones), "{name}");
            assert_eq!(scales.layers()[7].k.origin.name(), "ignored", "{name}");
            assert_eq!(scales.layers()[7].k.origin.tensor(), k, "{name}");
        }
    }
}

#[test]
fn broken_q_scales_are_refused_by_tensor_and_value() {
    for (name, at) in [
        ("compressed_tensors_attn_tensor_BROKEN_q_scale", "value 0.0 at index 0"),
        ("compressed_tensors_attn_qhead_BROKEN_q_scale", "value 0.0 at index 1"),
    ] {
        let checkpoint = open(name);
        for dtype in [KvDtype::Fp8E4M3, KvDtype::Auto] {
            let message = resolve(&checkpoint, &options(dtype)).unwrap_err().to_string();
            let tensor = "`model.layers.0.self_attn.q_scale` (q of layer 0)";
            assert!(message.contains(tensor) && message.contains(at), "{message}");
        }
        // Lenient: the garbage is reported and replaced, k and v stay.
        let lenient = ResolveOptions { strict: false, ..options(KvDtype::Fp8E4M3) };
        let scales = resolve(&checkpoint, &lenient).unwrap();
        let invalid = scales.warnings().iter().find(|w| w.code == WarningCode::InvalidScale);
        assert!(
            invalid.is_some_and(|w| w.layers.contains(&0) && w.message.contains(tensor_of_q()))
        );
        let stored = expected(name);
        for layer in scales.layers() {
            let k = stored[layer.layer.to_string()]["k"].as_array().unwrap();
            let k: Vec<f64> = k.iter().map(|v| v.as_f64().unwrap()).collect();
            assert_eq!(values(layer, Slot::K), k);
            assert!(values(layer, Slot::Q).iter().all(|q| q.is_finite() && *q > 0.0));
        }
        // An unquantized cache has no use for any of it and looks at no value.
        assert!(resolve(&checkpoint, &options(KvDtype::Bf16)).is_ok());
    }
}

fn tensor_of_q() -> &'static str {
    "model.layers.0.self_attn.q_scale"
}

#[test]
fn fingerprints_tell_sets_apart_and_stay_the_same_everywhere() {
    let print = |name: &str, dtype| {
        let scales = resolve(&open(name), &options(dtype)).unwrap();
        let hex: Vec<String> = scales.fingerprint().iter().map(|b| format!("{b:02x}")).collect();
        hex.concat()
    };
    let tensor = print("compressed_tensors_tensor", KvDtype::Fp8E4M3);
    // The same values in other forms are the same scales.
    assert_eq!(tensor, print("modelopt", KvDtype::Fp8E4M3));
    assert_eq!(tensor, print("fp8_k_scale_v_scale", KvDtype::Fp8E4M3));
    let mut all = vec![
        tensor.clone(),
        print("compressed_tensors_attn_head", KvDtype::Fp8E4M3),
        print("fp8_fused_kv_scale", KvDtype::Fp8E4M3),
        print("no_scales", KvDtype::Fp8E4M3),
        print("no_scales", KvDtype::Fp8E5M2),
        print("no_scales", KvDtype::Bf16),
        print("no_scales", KvDtype::Fp8PerTokenHead),
    ];
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 7);
    // Written down on one machine; it must come out on every other.
    assert_eq!(tensor, "ccb2844c4735d1d0a844f02b2245650cf0222d65f4e58f1e36c2e737ab8ea616");
}
