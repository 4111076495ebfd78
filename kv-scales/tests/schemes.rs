//! Every config form that asks for a quantized KV cache, and every one that cannot be honoured.

mod common;

use common::{file, fixture, llama};
use kv_scales::scheme::{KvScheme, SchemeForm, Strategy, find, from_config};
use kv_scales::{Checkpoint, KvDtype, Platform, SkipLayers};
use serde_json::{Value, json};

fn of(block: Value) -> Result<Option<KvScheme>, kv_scales::Error> {
    let mut config = json!({});
    config["quantization_config"] = block;
    from_config(&config)
}

fn scheme_with(field: &str, value: Value) -> Value {
    let mut scheme = json!({"type": "float", "num_bits": 8, "strategy": "tensor",
        "dynamic": false, "symmetric": true, "group_size": null, "block_structure": null});
    scheme[field] = value;
    json!({"quant_method": "compressed-tensors", "kv_cache_scheme": scheme})
}

#[test]
fn compressed_tensors() {
    use Strategy::{AttnHead, Tensor};
    for (field, value, dtype, strategy) in [
        ("type", json!("float"), KvDtype::Fp8E4M3, Tensor),
        ("type", json!("int"), KvDtype::Int8, Tensor),
        ("strategy", json!("attn_head"), KvDtype::Fp8E4M3, AttnHead),
        ("strategy", json!(null), KvDtype::Fp8E4M3, Tensor),
        ("symmetric", json!(null), KvDtype::Fp8E4M3, Tensor),
        ("dynamic", json!(null), KvDtype::Fp8E4M3, Tensor),
        ("num_bits", json!(null), KvDtype::Fp8E4M3, Tensor),
        ("observer", json!("minmax"), KvDtype::Fp8E4M3, Tensor),
    ] {
        let scheme = of(scheme_with(field, value)).unwrap().unwrap();
        let form = SchemeForm::CompressedTensors;
        assert_eq!(scheme, KvScheme { form, dtype, strategy: Some(strategy) }, "{field}");
    }
    for (field, value) in [
        ("type", json!("nvfp")),
        ("type", json!(null)),
        ("num_bits", json!(4)),
        ("num_bits", json!("8")),
        ("dynamic", json!(true)),
        ("dynamic", json!("local")),
        ("symmetric", json!(false)),
        ("strategy", json!("channel")),
        ("strategy", json!("group")),
        ("strategy", json!("token")),
        ("strategy", json!(1)),
        ("group_size", json!(128)),
        ("block_structure", json!([128, 128])),
    ] {
        let shown = value.to_string();
        let message = of(scheme_with(field, value)).unwrap_err().to_string();
        let named = message.contains(field) && message.contains(&shown);
        assert!(named && message.contains("kv_cache_scheme"), "{field} {shown}: {message}");
    }
    assert_eq!(of(json!({"kv_cache_scheme": null})).unwrap(), None);
    assert!(of(json!({"kv_cache_scheme": "fp8"})).is_err());
    // The block's older name, and a block inside the language model's config.
    let block = scheme_with("type", json!("int"));
    let int8 = |config: Value| from_config(&config).unwrap().unwrap().dtype;
    assert_eq!(int8(json!({"compression_config": block})), KvDtype::Int8);
    let inner = json!({"num_hidden_layers": 1, "quantization_config": block});
    assert_eq!(int8(json!({"text_config": inner})), KvDtype::Int8);
}

#[test]
fn configs_that_ask_for_nothing() {
    for block in [
        json!(null),
        json!({}),
        json!(3),
        json!({"quant_method": "fp8", "activation_scheme": "static"}),
        json!({"quant_method": "gptq", "bits": 4}),
        json!({"quant_method": "modelopt", "kv_cache_quant_algo": null}),
        json!({"quant_method": "quark", "export": {"kv_cache_group": []}}),
        json!({"quant_method": "quark"}),
    ] {
        assert_eq!(of(block.clone()).unwrap(), None, "{block}");
    }
}

#[test]
fn modelopt() {
    let find_in = |side: Value, config: Value| {
        let mut all = llama(1);
        all["quantization_config"] = config;
        let files = vec![
            file("config.json", all.to_string()),
            file("hf_quant_config.json", side.to_string()),
        ];
        find(&Checkpoint::from_memory(files).unwrap())
    };
    let algo = |name: &str| json!({"quantization": {"kv_cache_quant_algo": name}});
    let fp8 = find_in(algo("FP8"), json!(null)).unwrap().unwrap();
    assert_eq!((fp8.form, fp8.dtype), (SchemeForm::ModelOpt, KvDtype::Fp8E4M3));
    assert_eq!(find_in(algo("INT8"), json!(null)).unwrap().unwrap().dtype, KvDtype::Int8);
    assert_eq!(find_in(json!({"quantization": {}}), json!(null)).unwrap(), None);
    for name in ["NVFP4", "fp8", ""] {
        let message = find_in(algo(name), json!(null)).unwrap_err().to_string();
        assert!(message.contains(&format!("{name:?}")) && message.contains("`FP8`"), "{message}");
    }
    // The forms inside config.json.
    let inside = of(json!({"quant_method": "modelopt", "kv_cache_quant_algo": "FP8"}));
    assert_eq!(inside.unwrap().unwrap().form, SchemeForm::ModelOpt);
    let copied = json!({"dynamic": false, "num_bits": 8, "type": "float"});
    let block = json!({"quant_method": "modelopt", "kv_cache_scheme": copied});
    assert_eq!(of(block.clone()).unwrap().unwrap().form, SchemeForm::ModelOpt);
    // Two that agree are one, two that do not are an error.
    assert!(find_in(algo("FP8"), block.clone()).unwrap().is_some());
    let message = find_in(algo("INT8"), block).unwrap_err().to_string();
    assert!(message.contains("fp8_e4m3") && message.contains("int8"), "{message}");
}

#[test]
fn quark() {
    let spec = |edit: &dyn Fn(&mut Value)| {
        let mut spec = json!({"dtype": "fp8_e4m3", "qscheme": "per_tensor", "is_dynamic": false,
            "symmetric": null});
        edit(&mut spec);
        spec
    };
    let block = |place: &str, k: Value, v: Value| {
        json!({"quant_method": "quark", "export": {"kv_cache_group": ["*k_proj", "*v_proj"]},
            place: {"*k_proj": {"output_tensors": k}, "*v_proj": {"output_tensors": v}}})
    };
    let good = || spec(&|_| ());
    for place in ["layer_quant_config", "kv_cache_quant_config"] {
        let scheme = of(block(place, good(), good())).unwrap().unwrap();
        assert_eq!((scheme.form, scheme.dtype), (SchemeForm::Quark, KvDtype::Fp8E4M3));
    }
    let layers = "layer_quant_config";
    let int8 = || spec(&|s| s["dtype"] = json!("int8"));
    assert_eq!(of(block(layers, int8(), int8())).unwrap().unwrap().dtype, KvDtype::Int8);
    let message = of(block(layers, good(), int8())).unwrap_err().to_string();
    assert!(message.contains("*k_proj") && message.contains("*v_proj"), "{message}");
    for (field, value) in [
        ("dtype", json!("fp8_e5m2")),
        ("dtype", json!(null)),
        ("qscheme", json!("per_channel")),
        ("is_dynamic", json!(true)),
        ("symmetric", json!(false)),
    ] {
        let bad = spec(&|s| s[field] = value.clone());
        let message = of(block(layers, good(), bad)).unwrap_err().to_string();
        let named = message.contains(field) && message.contains(&value.to_string());
        assert!(named && message.contains("*v_proj"), "{message}");
    }
    // A group whose outputs nothing speaks of, and groups that are none.
    assert!(of(block("elsewhere", good(), good())).is_err());
    for group in [json!("*k_proj"), json!([1])] {
        assert!(of(json!({"quant_method": "quark", "kv_cache_group": group})).is_err());
    }
    let real = std::fs::read(fixture("quark").join("config.json")).unwrap();
    let real: Value = serde_json::from_slice(&real).unwrap();
    assert_eq!(from_config(&real).unwrap().unwrap().form, SchemeForm::Quark);
}

#[test]
fn options_are_read_by_name() {
    assert_eq!("fnuz".parse::<Platform>().unwrap(), Platform::Fnuz);
    assert_eq!("ocp".parse::<Platform>().unwrap(), Platform::Ocp);
    let message = "amd".parse::<Platform>().unwrap_err().to_string();
    assert!(message.contains("`amd`") && message.contains("ocp, fnuz"), "{message}");
    let skip: SkipLayers = "3, sliding_window,0".parse().unwrap();
    assert_eq!(skip, SkipLayers { layers: vec![3, 0], sliding_window: true });
    assert_eq!("".parse::<SkipLayers>().unwrap(), SkipLayers::default());
    for bad in ["-1", "x", "1;2", "1.5"] {
        assert!(bad.parse::<SkipLayers>().is_err(), "{bad}");
    }
}
