//! What is done with a resolved set: tensor-parallel shares, scales of the first batch, reports,
//! the old JSON form.

mod common;

use common::{Tensor, checkpoint, f32s, file, llama};
use kv_scales::{
    Checkpoint, Error, KvDtype, LayerAbsmax, OnTheFlyRange, Platform, ResolveOptions,
    ResolvedScales, ScaleValue, Slot, legacy, resolve,
};
use serde_json::json;

fn options(dtype: KvDtype) -> ResolveOptions {
    ResolveOptions { dtype: dtype.into(), ..Default::default() }
}

fn heads(values: &[f32]) -> ScaleValue {
    ScaleValue::PerHead(values.into())
}

fn per_head(slot: &str, values: &[f32]) -> Tensor {
    f32s(&format!("model.layers.0.self_attn.{slot}_scale"), &[values.len(), 1, 1], values)
}

/// One layer of 8 query and 4 KV heads, every scale per head.
fn eight_heads() -> ResolvedScales {
    let mut config = llama(1);
    (config["num_attention_heads"], config["num_key_value_heads"]) = (json!(8), json!(4));
    let tensors = [
        per_head("q", &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 7.0]),
        per_head("k", &[0.1, 0.2, 0.3, 0.4]),
        per_head("v", &[0.5, 0.6, 0.7, 0.8]),
    ];
    resolve(&checkpoint(&config, &tensors), &options(KvDtype::Fp8E4M3)).unwrap()
}

#[test]
fn heads_are_sliced_or_replicated_among_ranks() {
    let scales = eight_heads();
    let share = |rank, size| scales.shard(rank, size).unwrap().layers()[0].clone();
    let first = share(0, 2);
    assert_eq!((first.shape.num_heads, first.shape.num_kv_heads), (4, 2));
    assert_eq!(first.q.value, heads(&[1.0, 2.0, 3.0, 4.0]));
    assert_eq!(first.k.value, heads(&[0.1, 0.2]));
    assert_eq!(share(1, 2).v.value, heads(&[0.7, 0.8]));
    // Eight ranks, four KV heads: two ranks share one.
    for rank in 0..8 {
        let share = share(rank, 8);
        assert_eq!(share.k.value.values(), &scales.layers()[0].k.value.values()[rank / 2..][..1]);
        assert_eq!(share.q.value.values(), &scales.layers()[0].q.value.values()[rank..][..1]);
        assert_eq!((share.shape.num_heads, share.shape.num_kv_heads), (1, 1));
    }
    assert_eq!(scales.shard(0, 1).unwrap(), scales);
    for (rank, size) in [(0, 3), (0, 16), (0, 0), (2, 2)] {
        assert!(scales.shard(rank, size).is_err(), "{rank} of {size}");
    }
    // One value for all heads is everyone's.
    let tensors = [f32s("layers.0.attn.k_scale", &[1], &[0.5])];
    let whole = resolve(&checkpoint(&llama(1), &tensors), &options(KvDtype::Fp8E4M3)).unwrap();
    assert_eq!(whole.shard(1, 2).unwrap().layers()[0].k.value, ScaleValue::PerTensor(0.5));
    assert_ne!(whole.fingerprint(), scales.fingerprint());
}

#[test]
fn a_group_of_queries_has_the_largest_of_its_scales() {
    let scales = eight_heads();
    let layer = &scales.layers()[0];
    assert_eq!(layer.q_per_kv_head().unwrap(), heads(&[2.0, 4.0, 6.0, 8.0]));
    let share = layer.shard(3, 4).unwrap();
    assert_eq!(share.q_per_kv_head().unwrap(), heads(&[8.0]));
}

#[test]
fn the_first_batch_fixes_what_is_pending_once() {
    let seen = [LayerAbsmax { q: 4.0, k: 20.0, v: 5.0 }, LayerAbsmax { q: 8.0, k: 2.0, v: 1.0 }];
    let range = OnTheFlyRange::default();
    let pending = |dtype: &str| {
        let options = ResolveOptions {
            dtype: dtype.parse().unwrap(),
            calculate_kv_scales: true,
            ..Default::default()
        };
        resolve(&checkpoint(&llama(2), &[]), &options).unwrap().into_pending().unwrap()
    };
    let values = |scales: &ResolvedScales, layer: usize| {
        [Slot::Q, Slot::K, Slot::V].map(|slot| {
            let scale = scales.layers()[layer].get(slot);
            (scale.value.values()[0], scale.origin.name())
        })
    };
    let waiting = pending("fp8").get().fingerprint();
    let fixed = pending("fp8").fix(&seen, &range).unwrap();
    let fly = "on_the_fly";
    assert_eq!(values(&fixed, 0), [(4.0 / 200.0, fly), (20.0 / 200.0, fly), (5.0 / 100.0, fly)]);
    assert_eq!(values(&fixed, 1), [(8.0 / 200.0, fly), (2.0 / 200.0, fly), (1.0 / 100.0, fly)]);
    assert_eq!(fixed.source(), "on_the_fly");
    assert_ne!(fixed.fingerprint(), waiting);
    // What is fixed has nothing left to fix.
    assert!(fixed.into_pending().is_err());

    let int8 = pending("int8").fix(&seen, &range).unwrap();
    assert_eq!(values(&int8, 0), [(4.0 / 127.0, fly), (20.0 / 127.0, fly), (5.0 / 127.0, fly)]);
    let side = pending("k=auto,v=fp8").fix(&seen, &range).unwrap();
    assert_eq!(values(&side, 1), [(8.0 / 200.0, fly), (1.0, "ignored"), (1.0 / 100.0, fly)]);

    for bad in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-44] {
        let seen = [LayerAbsmax { k: bad, ..seen[0] }, seen[1]];
        let error = pending("fp8").fix(&seen, &range).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("layer 0: cannot make a k scale"), "{message}");
    }
    assert!(matches!(pending("fp8").fix(&seen[..1], &range), Err(Error::BatchLayers { .. })));
    let none = OnTheFlyRange { v: 0.0, ..range };
    assert!(matches!(pending("fp8").fix(&seen, &none), Err(Error::BadAbsmax { .. })));
}

#[test]
fn the_report_is_what_inspect_prints() {
    let mut config = llama(3);
    config["layer_types"] = json!(["full_attention", "conv", "full_attention"]);
    let tensors = [
        f32s("model.layers.0.self_attn.k_scale", &[2, 1, 1], &[0.5, 0.25]),
        f32s("model.layers.0.self_attn.v_scale", &[], &[2.0]),
        f32s("model.layers.2.self_attn.k_scale", &[], &[4.0]),
    ];
    let options = ResolveOptions { skip_layers: "2".parse().unwrap(), ..options(KvDtype::Fp8E4M3) };
    let report = resolve(&checkpoint(&config, &tensors), &options).unwrap().report();
    assert_eq!(report.layers[0].k.min_max(), Some((0.25, 0.5)));
    let json = serde_json::to_value(&report).unwrap();
    let one = |origin: &str| json!({"granularity": "per_tensor", "value": [1.0], "origin": origin, "tensor": null});
    let skipped = one("skipped");
    let expected = json!({
        "kv_cache_dtype": "fp8_e4m3",
        "layers": [
            {"layer": 0, "q": one("default"), "prob": one("default"),
             "k": {"granularity": "per_head", "value": [0.5, 0.25], "origin": "checkpoint",
                   "tensor": "model.layers.0.self_attn.k_scale"},
             "v": {"granularity": "per_tensor", "value": [2.0], "origin": "checkpoint",
                   "tensor": "model.layers.0.self_attn.v_scale"}},
            {"layer": 2, "kv_cache_dtype": "bf16",
             "q": skipped, "k": skipped, "v": skipped, "prob": skipped},
        ],
        "warnings": [
            {"code": "q_fallback",
             "message": "layer 0: no q scale in the checkpoint: set to 1.0"},
            {"code": "ignored_skipped",
             "message": "layer 2: loaded scales are not used, the layer is exempt: \
                         `model.layers.2.self_attn.k_scale`"},
        ],
    });
    assert_eq!(json, expected);
    let dynamic = resolve(
        &checkpoint(&llama(1), &[]),
        &ResolveOptions { dtype: KvDtype::Fp8PerTokenHead.into(), ..Default::default() },
    );
    let report = dynamic.unwrap().report();
    assert_eq!(
        (report.layers[0].k.granularity, report.layers[0].k.min_max()),
        ("per_token_head", None)
    );
}

#[test]
fn the_old_form_is_written_and_read_back() {
    let tensors = [
        f32s("model.layers.0.self_attn.k_scale", &[], &[0.1]),
        f32s("model.layers.0.self_attn.v_scale", &[], &[0.3]),
        f32s("model.layers.1.self_attn.k_scale", &[], &[0.7]),
    ];
    let fp8 = options(KvDtype::Fp8E4M3);
    let scales = resolve(&checkpoint(&llama(2), &tensors), &fp8).unwrap();
    let exported = legacy::export(&scales, Some("llama")).unwrap();
    assert_eq!(exported["kv_cache"]["dtype"], "float8_e4m3fn");
    let files = vec![
        file("config.json", llama(2).to_string()),
        file(legacy::LEGACY_FILE, exported.to_string()),
    ];
    let back = resolve(&Checkpoint::from_memory(files).unwrap(), &fp8).unwrap();
    // One for both: the larger, so that neither clips.
    let k = |layer: usize| back.layers()[layer].k.value.clone();
    assert_eq!((k(0), k(1)), (ScaleValue::PerTensor(0.3), ScaleValue::PerTensor(0.7)));
    assert_eq!(legacy::export(&back, Some("llama")).unwrap(), exported);

    assert!(legacy::export(&eight_heads(), None).is_err());
    let fnuz = ResolveOptions { platform: Platform::Fnuz, ..fp8 };
    let fnuz = resolve(&checkpoint(&llama(2), &tensors), &fnuz).unwrap();
    assert!(legacy::export(&fnuz, None).is_err());
    let int8 = resolve(&checkpoint(&llama(2), &[]), &options(KvDtype::Int8)).unwrap();
    assert!(legacy::export(&int8, None).is_err());
}

#[test]
fn ranks_of_the_old_form_become_heads() {
    let read = |kv_cache: serde_json::Value| {
        let files = vec![
            file("config.json", llama(1).to_string()),
            file(legacy::LEGACY_FILE, json!({"kv_cache": kv_cache}).to_string()),
        ];
        resolve(&Checkpoint::from_memory(files).unwrap(), &options(KvDtype::Fp8E4M3))
    };
    let ranks =
        |ranks: serde_json::Value| read(json!({"dtype": "float8_e4m3fn", "scaling_factor": ranks}));
    let k = |ranks_of: serde_json::Value| ranks(ranks_of).unwrap().layers()[0].k.value.clone();
    assert_eq!(k(json!({"0": {"0": 0.5}, "1": {"0": 0.25}})), heads(&[0.5, 0.25]));
    assert_eq!(k(json!({"0": {"0": 0.5}, "1": {"0": 0.5}})), ScaleValue::PerTensor(0.5));
    for (bad, words) in [
        (json!({"0": {"0": 0.5}, "1": {}}), "layer 0 is in 1 of 2 ranks"),
        (json!({"0": {"0": 1}, "1": {"0": 2}, "2": {"0": 3}}), "2 KV heads on 3 ranks"),
        (json!({"1": {"0": 0.5}}), "rank 1 of 1 ranks"),
        (json!({"0": {"zero": 0.5}}), "layer `zero`: not a number"),
        (json!({"0": {"0": "x"}}), "is no number"),
        (json!({"0": {"0": 0.5, "00": 0.5}}), "twice"),
        (json!({"0": {"1": 0.5}}), "is for layer 1"),
        (json!({"0": 3}), "not an object"),
        (json!([]), "scaling_factor"),
    ] {
        let message = ranks(bad).unwrap_err().to_string();
        assert!(message.contains(words) && message.contains(legacy::LEGACY_FILE), "{message}");
    }
    let message = read(json!({"dtype": "int4", "scaling_factor": {}})).unwrap_err().to_string();
    assert!(message.contains("`int4`"), "{message}");
}
