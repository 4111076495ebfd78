//! `fp8kv inspect`: values, provenance, warnings, and the refusal to drop a scale.

mod common;

use common::{Model, error, json, keys, stdout};
use serde_json::{Value, json as j};

#[test]
fn the_json_has_the_documented_keys() {
    let report = json(&["inspect", "--json"]);
    assert_eq!(keys(&report), ["fingerprint", "kv_cache_dtype", "layers", "model", "warnings"]);
    assert_eq!(report["kv_cache_dtype"], "fp8_e4m3");
    assert_eq!(report["layers"].as_array().unwrap().len(), 4);
    for (number, layer) in report["layers"].as_array().unwrap().iter().enumerate() {
        assert_eq!(keys(layer), ["k", "layer", "prob", "q", "v"]);
        assert_eq!(layer["layer"], number);
        for slot in ["q", "k", "v", "prob"] {
            let expected = j!({"granularity": "per_tensor", "value": [1.0], "origin": "default",
                               "tensor": null});
            assert_eq!(layer[slot], expected, "layer {number} {slot}");
        }
    }
    let warnings = report["warnings"].as_array().unwrap();
    assert!(!warnings.is_empty(), "scales of 1.0 for lack of any are worth a warning");
    assert!(warnings.iter().all(|w| keys(w) == ["code", "message"]));
}

fn slot<'a>(report: &'a Value, layer: usize, slot: &str) -> &'a Value {
    &report["layers"][layer][slot]
}

#[test]
fn scales_of_the_checkpoint_come_with_their_tensor() {
    let model = Model::new().with_scales(0.03125, 0.5);
    let report = json(&["inspect", "--model", model.path(), "--kv-cache-dtype", "fp8", "--json"]);
    for layer in 0..4 {
        for (name, value) in [("k", 0.03125), ("v", 0.5)] {
            let tensor = format!("model.layers.{layer}.self_attn.{name}_scale");
            let expected = j!({"granularity": "per_tensor", "value": [value],
                               "origin": "checkpoint", "tensor": tensor});
            assert_eq!(slot(&report, layer, name), &expected);
        }
    }
    let fnuz =
        ["inspect", "--model", model.path(), "--kv-cache-dtype", "fp8", "--platform", "fnuz"];
    let report = json(&[&fnuz[..], &["--json"]].concat());
    assert_eq!(slot(&report, 2, "v")["value"], j!([1.0]), "FNUZ doubles");
    let auto = json(&["inspect", "--model", model.path(), "--json"]);
    assert_eq!(auto["kv_cache_dtype"], "bf16");
    assert_eq!(slot(&auto, 0, "k")["origin"], "ignored");
    assert_eq!(slot(&auto, 0, "k")["value"], j!([1.0]));
}

#[test]
fn per_head_scales_are_listed() {
    let scales: Vec<_> = (0..4)
        .flat_map(|layer| {
            ["k", "v"].map(|name| {
                (format!("model.layers.{layer}.self_attn.{name}_scale"), vec![0.25, 0.5])
            })
        })
        .collect();
    let model = Model::new().add_tensors(&scales);
    let args = ["inspect", "--model", model.path(), "--kv-cache-dtype", "fp8"];
    let report = json(&[&args[..], &["--json"]].concat());
    assert_eq!(slot(&report, 3, "k")["granularity"], "per_head");
    assert_eq!(slot(&report, 3, "k")["value"], j!([0.25, 0.5]));
    let table = stdout(&args);
    assert!(table.contains("2 values, 0.25 to 0.5"), "{table}");
    assert!(table.contains("model.layers.3.self_attn.v_scale"), "{table}");
}

#[test]
fn a_scale_that_would_be_dropped_is_an_error_unless_lenient() {
    let name = "model.layers.9.self_attn.k_scale";
    let model = Model::new().add_tensors(&[(name.to_owned(), vec![0.5])]);
    let args = ["inspect", "--model", model.path(), "--kv-cache-dtype", "fp8"];
    let line = error(&args);
    assert!(line.contains(name), "{line}");
    let report = json(&[&args[..], &["--lenient", "--json"]].concat());
    let warnings = report["warnings"].as_array().unwrap();
    assert!(warnings.iter().any(|w| w["message"].as_str().unwrap().contains(name)), "{warnings:?}");
}

/// E4M3 scales reach 448 codes, INT8 only 127: used as they are they would clip.
#[test]
fn scales_of_another_format_are_refused_or_rescaled() {
    let model = Model::new().with_scales(0.5, 0.25);
    let args = ["inspect", "--model", model.path(), "--kv-cache-dtype", "int8"];
    let line = error(&args);
    assert!(line.contains("fp8_e4m3") && line.contains("int8"), "{line}");
    let report = json(&[&args[..], &["--rescale", "--json"]].concat());
    let k = slot(&report, 3, "k")["value"][0].as_f64().unwrap();
    assert!((k / (0.5 * 448.0 / 127.0) - 1.0).abs() < 1e-6, "{k}");
}

#[test]
fn an_invalid_scale_is_named() {
    let model = Model::new().with_scales(0.5, f32::NAN);
    let line = error(&["inspect", "--model", model.path(), "--kv-cache-dtype", "fp8"]);
    assert!(line.contains("v_scale") && line.contains("NaN"), "{line}");
}

/// No weights are needed to look at scales.
#[test]
fn a_config_alone_can_be_inspected() {
    let model = Model::new().remove("model.safetensors");
    let report = json(&["inspect", "--model", model.path(), "--json"]);
    assert_eq!(report["layers"].as_array().unwrap().len(), 4);
}
