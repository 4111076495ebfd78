//! Checkpoints that are written: what they hold, what they share with the old one, and that they
//! come into being whole.
#![cfg(feature = "fs")]

mod common;

use std::path::Path;

use common::{contents, directory, f32s, fixture, llama, shard};
use kv_scales::writer::{LayerScaleSet, ScaleSet, Written, write_checkpoint};
use kv_scales::{
    Checkpoint, Error, KvDtype, KvDtypes, Platform, ResolveOptions, ScaleValue, Slot, TensorDtype,
    resolve,
};

fn weights(layers: usize) -> Vec<common::Tensor> {
    (0..layers)
        .map(|i| f32s(&format!("model.layers.{i}.self_attn.k_proj.weight"), &[2, 3], &[0.5; 6]))
        .collect()
}

fn one(value: f32) -> ScaleValue {
    ScaleValue::PerTensor(value)
}

fn heads(values: &[f32]) -> ScaleValue {
    ScaleValue::PerHead(values.into())
}

fn set(dtype: KvDtype, layers: &[(ScaleValue, ScaleValue)]) -> ScaleSet {
    let layers = layers
        .iter()
        .enumerate()
        .map(|(i, (k, v))| (i, LayerScaleSet { q: None, k: k.clone(), v: v.clone(), prob: None }));
    ScaleSet { dtypes: dtype.into(), stored_as: TensorDtype::Bf16, layers: layers.collect() }
}

/// A single-file checkpoint of two layers, with tokenizer and a directory of its own.
fn base() -> tempfile::TempDir {
    let config = llama(2).to_string();
    let model = shard(&weights(2), &[("format", "pt")]);
    let dir = directory(&[
        ("config.json", config.as_bytes()),
        ("model.safetensors", &model),
        ("tokenizer.json", b"{}"),
    ]);
    std::fs::create_dir(dir.path().join("original")).unwrap();
    dir
}

fn write(source: &Path, scales: &ScaleSet, out: &Path) -> Written {
    write_checkpoint(&Checkpoint::open(source).unwrap(), scales, out).unwrap()
}

fn read_set(dir: &Path, options: &ResolveOptions) -> ScaleSet {
    let scales = resolve(&Checkpoint::open(dir).unwrap(), options).unwrap();
    ScaleSet::from_resolved(&scales, TensorDtype::Bf16).unwrap()
}

#[test]
fn writing_what_was_read_gives_the_same_bytes() {
    let fp8 = set(KvDtype::Fp8E4M3, &[(one(0.25), one(0.5)), (one(0.125), one(2.0))]);
    let per_head = (heads(&[0.25, 0.5]), heads(&[1.5, 2.0]));
    let int8 = set(KvDtype::Int8, &[per_head.clone(), per_head.clone()]);
    let mut with_q = set(KvDtype::Fp8E4M3, &[per_head.clone(), per_head]);
    for layer in with_q.layers.values_mut() {
        layer.q = Some(heads(&[1.0, 2.0, 3.0, 4.0]));
        layer.prob = Some(one(0.0078125));
    }
    let sides = KvDtypes { k: KvDtype::Fp8E4M3, v: KvDtype::Fp8E5M2 };
    let mixed = ScaleSet { dtypes: sides, ..fp8.clone() };
    let fnuz = ScaleSet { dtypes: KvDtype::Fp8E4M3Fnuz.into(), ..fp8.clone() };
    let e5m2 = ScaleSet { dtypes: KvDtype::Fp8E5M2.into(), ..fp8.clone() };
    for scales in [fp8, int8, with_q, mixed, fnuz, e5m2] {
        let base = base();
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("first"), dir.path().join("second"));
        write(base.path(), &scales, &first);
        // `auto` means what was written, down to the exact format.
        let again = read_set(&first, &ResolveOptions::default());
        assert_eq!(again, scales);
        write(&first, &again, &second);
        assert_eq!(contents(&first), contents(&second));
        assert_eq!(contents(dir.path().join("first").as_path()).len(), 5);
    }
}

#[test]
fn reference_checkpoints_survive_a_round_trip() {
    for name in [
        "compressed_tensors_tensor",
        "compressed_tensors_attn_head",
        "compressed_tensors_attn_tensor",
        "legacy_kv_cache_scales_json",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("first"), dir.path().join("second"));
        let fp8 = ResolveOptions { dtype: KvDtype::Fp8E4M3.into(), ..Default::default() };
        let original = read_set(&fixture(name), &fp8);
        write(&fixture(name), &original, &first);
        assert_eq!(read_set(&first, &ResolveOptions::default()), original, "{name}");
        write(&first, &original, &second);
        assert_eq!(contents(&first), contents(&second), "{name}");
        assert!(!first.join("kv_cache_scales.json").exists());

        if name.starts_with("compressed") {
            // The tensors are what llm-compressor wrote: names, shapes, types and bytes.
            let [old, new] = [&fixture(name), &first].map(|d| Checkpoint::open(d).unwrap());
            let scales = |c: &Checkpoint| -> Vec<_> {
                let ends = ["_scale", "_zero_point"];
                let scales = c.tensors().filter(|t| ends.iter().any(|end| t.name.ends_with(end)));
                scales
                    .map(|t| {
                        (t.name.clone(), t.dtype, t.shape.clone(), c.read(t).unwrap().to_vec())
                    })
                    .collect()
            };
            assert!(scales(&old).len() >= 60);
            assert_eq!(scales(&old), scales(&new), "{name}");
            // And so is the scheme.
            let scheme = |c: &Checkpoint| {
                let mut s = c.config().unwrap()["quantization_config"].clone();
                s["kv_cache_scheme"]["observer"] = serde_json::Value::Null;
                if let Some(group) = s["config_groups"].get_mut("group_0") {
                    group["input_activations"]["observer"] = serde_json::Value::Null;
                }
                s
            };
            assert_eq!(scheme(&old), scheme(&new), "{name}");
        }
    }
}

#[test]
fn unchanged_files_are_shared_and_the_single_shard_gets_a_numbered_name() {
    use std::os::unix::fs::MetadataExt;
    let base = base();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let written = write(base.path(), &set(KvDtype::Fp8E4M3, &[(one(1.0), one(2.0))]), &out);
    let shard = "model-00001-of-00002.safetensors";
    assert_eq!(written.linked, [shard]);
    assert_eq!(written.copied, ["tokenizer.json"]);
    assert_eq!(written.left_out, ["original"]);
    let scales = "model-00002-of-00002.safetensors";
    assert_eq!(written.written, ["config.json", scales, "model.safetensors.index.json"]);
    let inode = |path: &Path| std::fs::metadata(path).unwrap().ino();
    assert_eq!(inode(&base.path().join("model.safetensors")), inode(&out.join(shard)));
    let index = std::fs::read_to_string(out.join("model.safetensors.index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_str(&index).unwrap();
    assert_eq!(index["metadata"]["total_size"], 2 * 24 + 4);
    assert_eq!(index["weight_map"]["model.layers.0.self_attn.k_scale"], scales);
    let config = std::fs::read_to_string(out.join("config.json")).unwrap();
    assert!(config.contains("0.041666666666666664"), "{config}");
}

#[test]
fn old_scales_beside_weights_are_replaced_and_all_else_kept() {
    let mut tensors = weights(1);
    tensors.push(f32s("model.layers.0.self_attn.k_scale", &[1], &[7.0]));
    tensors.push(f32s("model.layers.0.self_attn.k_zero_point", &[1], &[0.0]));
    tensors.push(f32s("model.norm.weight", &[2], &[3.0, 4.0]));
    let config = llama(1).to_string();
    let base = directory(&[
        ("config.json", config.as_bytes()),
        ("model.safetensors", &shard(&tensors, &[("format", "pt")])),
    ]);
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let scales = set(KvDtype::Fp8E4M3, &[(one(0.5), one(0.25))]);
    let written = write(base.path(), &scales, &out);
    assert!(written.linked.is_empty());
    assert_eq!(read_set(&out, &ResolveOptions::default()), scales);
    let new = Checkpoint::open(&out).unwrap();
    let names: Vec<&str> = new.tensors().map(|t| t.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "model.layers.0.self_attn.k_proj.weight",
            "model.layers.0.self_attn.k_scale",
            "model.layers.0.self_attn.v_scale",
            "model.norm.weight",
        ]
    );
    let norm = new.read(new.tensor("model.norm.weight").unwrap()).unwrap();
    assert_eq!(*norm, [3.0_f32.to_le_bytes(), 4.0_f32.to_le_bytes()].concat());
}

#[test]
fn fnuz_scales_are_halved_so_that_reading_doubles_them_again() {
    let base = base();
    let dir = tempfile::tempdir().unwrap();
    let scales = set(KvDtype::Fp8E4M3, &[(one(0.25), one(0.5)), (one(0.125), one(2.0))]);
    write(base.path(), &scales, &dir.path().join("a"));
    let fnuz = ResolveOptions { platform: Platform::Fnuz, ..Default::default() };
    let resolved = resolve(&Checkpoint::open(&dir.path().join("a")).unwrap(), &fnuz).unwrap();
    assert_eq!(resolved.layers()[0].get(Slot::K).value, one(0.5));
    assert_eq!(ScaleSet::from_resolved(&resolved, TensorDtype::Bf16).unwrap(), scales);
}

#[test]
fn what_cannot_be_written_is_refused_and_leaves_nothing() {
    let good = || set(KvDtype::Fp8E4M3, &[(one(1.0), one(2.0)), (one(1.0), one(2.0))]);
    let config = |edit: fn(&mut serde_json::Value)| {
        let mut config = llama(2);
        edit(&mut config);
        let config = config.to_string();
        let model = shard(&weights(2), &[]);
        directory(&[("config.json", config.as_bytes()), ("model.safetensors", &model)])
    };
    let refuse = |base: &tempfile::TempDir, scales: &ScaleSet, words: &str| {
        let dir = tempfile::tempdir().unwrap();
        let source = Checkpoint::open(base.path()).unwrap();
        let error = write_checkpoint(&source, scales, &dir.path().join("out")).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(contents(dir.path()).is_empty(), "{words}");
    };
    let fp8 = config(|c| c["quantization_config"] = serde_json::json!({"quant_method": "fp8"}));
    refuse(&fp8, &good(), "quantized by `fp8`");
    let plain = config(|_| ());
    let pairs: [(ScaleSet, &str); 7] = [
        (set(KvDtype::Fp8E4M3, &[(one(1.0), heads(&[1.0, 2.0]))]), "mixed"),
        (set(KvDtype::Fp8E4M3, &[(heads(&[1.0; 3]), heads(&[1.0; 3]))]), "[3]"),
        (set(KvDtype::Fp8E4M3, &[(one(1.0), one(f32::NAN))]), "NaN"),
        (set(KvDtype::Fp8E4M3, &[(one(1.0), one(1e-42))]), "1e-42"),
        (set(KvDtype::Bf16, &[(one(1.0), one(1.0))]), "bf16"),
        (set(KvDtype::Fp8E4M3, &vec![(one(1.0), one(1.0)); 3]), "2 layers"),
        (set(KvDtype::Fp8E4M3, &[(ScaleValue::Pending, one(1.0))]), "not known"),
    ];
    for (scales, words) in &pairs {
        refuse(&plain, scales, words);
    }
    let sides = KvDtypes { k: KvDtype::Fp8E4M3, v: KvDtype::Int8 };
    refuse(&plain, &ScaleSet { dtypes: sides, ..good() }, "one type");

    let dir = tempfile::tempdir().unwrap();
    let source = Checkpoint::open(plain.path()).unwrap();
    let exists = write_checkpoint(&source, &good(), dir.path()).unwrap_err();
    assert!(matches!(exists, Error::OutputExists { .. }));
    // The old checkpoint changed under us: the new one must not come into being.
    std::fs::write(plain.path().join("model.safetensors"), b"short").unwrap();
    assert!(write_checkpoint(&source, &good(), &dir.path().join("out")).is_err());
    assert!(contents(dir.path()).is_empty());
}
