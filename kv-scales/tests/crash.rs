//! A writer that is killed at any moment leaves nothing under the new name, or the whole.
#![cfg(all(feature = "fs", unix))]

mod common;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::{directory, f32s, llama, shard};
use kv_scales::writer::{LayerScaleSet, ScaleSet, write_checkpoint};
use kv_scales::{Checkpoint, KvDtype, ResolveOptions, ScaleValue, TensorDtype, resolve};

const BASE: &str = "KV_SCALES_CRASH_BASE";
const OUT: &str = "KV_SCALES_CRASH_OUT";

/// The process that is killed: this test, started by the other one.
#[test]
fn child_writes() {
    let (Some(base), Some(out)) = (std::env::var_os(BASE), std::env::var_os(OUT)) else { return };
    let layer = LayerScaleSet {
        q: None,
        k: ScaleValue::PerTensor(0.5),
        v: ScaleValue::PerTensor(0.25),
        prob: None,
    };
    let scales = ScaleSet {
        dtypes: KvDtype::Fp8E4M3.into(),
        stored_as: TensorDtype::Bf16,
        layers: [(0, layer)].into(),
    };
    write_checkpoint(&Checkpoint::open(Path::new(&base)).unwrap(), &scales, Path::new(&out))
        .unwrap();
}

#[test]
fn killed_at_any_moment_it_leaves_nothing_or_the_whole() {
    // Old scales beside the weights, so that a shard is rewritten, not linked; and some side files.
    let tensors = [
        f32s("model.layers.0.self_attn.k_proj.weight", &[100_000], &vec![1.0; 100_000]),
        f32s("model.layers.0.self_attn.k_scale", &[1], &[7.0]),
    ];
    let config = llama(1).to_string();
    let base = directory(&[
        ("config.json", config.as_bytes()),
        ("model.safetensors", &shard(&tensors, &[])),
        ("tokenizer.json", &vec![b' '; 200_000]),
        ("vocab.txt", b"a"),
    ]);
    let place = tempfile::tempdir().unwrap();
    let spawn = |out: &Path| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_writes", "--test-threads=1"])
            .env(BASE, base.path())
            .env(OUT, out)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap()
    };
    let whole = |out: &Path| {
        let checkpoint = Checkpoint::open(out).unwrap();
        let scales = resolve(&checkpoint, &ResolveOptions::default()).unwrap();
        assert_eq!(scales.layers()[0].k.value, ScaleValue::PerTensor(0.5));
        assert_eq!(checkpoint.tensors().len(), 3);
        let files = common::contents(out).len();
        assert_eq!(files, 6, "config, index, two shards, two side files");
    };
    let start = std::time::Instant::now();
    let out = place.path().join("whole");
    assert!(spawn(&out).wait().unwrap().success());
    whole(&out);
    let full = start.elapsed();
    let mut nothing = 0;
    for i in 0..24_u32 {
        let out = place.path().join(format!("out-{i}"));
        let mut child = spawn(&out);
        // From the very start to about the end of a whole run.
        std::thread::sleep(full.min(Duration::from_millis(500)) * i / 22);
        let _ = child.kill();
        child.wait().unwrap();
        if out.exists() { whole(&out) } else { nothing += 1 }
    }
    // The first is killed before it can have done anything: the kills do hit.
    assert!(nothing > 0);
}
