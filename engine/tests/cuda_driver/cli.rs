//! The commands with `--device cuda`, beside the same commands on the CPU.

use serde_json::Value;

use crate::common::{asset, json, refuses};

/// Bytes of the held-out text: a window of 512 tokens, and a part of one, which is dropped.
const TEXT_BYTES: usize = 3600;

fn both(args: &[&str]) -> [Value; 2] {
    let on = |device| json(&[args, &["--json", "--device", device]].concat());
    [on("cuda"), on("cpu")]
}

/// A file of the temporary folder.
fn file(bytes: impl AsRef<[u8]>) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    file
}

fn short_text() -> tempfile::NamedTempFile {
    let text = std::fs::read(asset("held-out.txt")).unwrap();
    file(&text[..TEXT_BYTES])
}

fn metric(result: &Value, name: &str) -> f64 {
    result[name].as_f64().unwrap_or_else(|| panic!("{name} in {result}"))
}

/// Perplexities of both, line by line of the results.
fn compare(args: &[&str], names: &[&str]) {
    let [cuda, cpu] = both(args);
    assert_eq!(cuda["device"]["device"], "cuda:0");
    assert!(cuda["device"]["arch"].as_str().unwrap().starts_with("sm_"));
    assert!(cuda["device"]["name"].is_string() && cuda["device"]["linears"] == "mma");
    assert_eq!(cpu["device"]["device"], "cpu");
    assert_eq!((&cuda["tokens"], &cpu["tokens"]), (&512.into(), &512.into()));
    // There is no f32 cache on the device: distances are from f16.
    assert_eq!((&cuda["baseline"]["kv_cache_dtype"]), "f16");
    assert_eq!((&cpu["baseline"]["kv_cache_dtype"]), "f32");
    let results = |report: &Value| report["results"].as_array().unwrap().clone();
    assert_eq!(results(&cuda).len(), names.len());
    for ((name, cuda), cpu) in names.iter().zip(results(&cuda)).zip(results(&cpu)) {
        assert_eq!(
            (&cuda["kv_cache_dtype"], &cpu["kv_cache_dtype"]),
            (&(*name).into(), &(*name).into())
        );
        assert_eq!(cuda["scales"], cpu["scales"]);
        let [a, b] = [&cuda, &cpu].map(|result| metric(result, "perplexity"));
        let off = (a - b).abs() / b;
        println!("{name}: {a:.4} on the device, {b:.4} on the CPU, {off:.1e} apart");
        assert!(off <= 1e-3, "{name}: {a} on the device, {b} on the CPU");
        // Beyond perplexity: the cost of the dtype is the same.
        let [a, b] = [&cuda, &cpu].map(|result| metric(result, "mean_abs_dlogp"));
        assert!((a - b).abs() <= 0.05 * b + 2e-3, "{name}: {a} on the device, {b} on the CPU");
    }
}

pub(crate) fn perplexity() {
    let text = short_text();
    let base = ["eval", "--text", text.path().to_str().unwrap()];
    let with = |options: &[&'static str], dtypes: &[&'static str]| {
        let dtypes = dtypes.iter().flat_map(|dtype| ["--kv-cache-dtype", dtype]);
        let mut args = base.to_vec();
        args.extend(options);
        args.extend(dtypes);
        args
    };
    let plain =
        ["f16", "bf16", "fp8_e4m3", "fp8_e5m2", "fp8_per_token_head", "int8_per_token_head"];
    compare(&with(&[], &plain), &plain);
    // Scales from a pass on the device against scales from one on the CPU.
    let calculated = ["int8", "fp8_e4m3"];
    compare(&with(&["--calculate-kv-scales"], &calculated), &calculated);
    let quantized_q = ["fp8_e4m3"];
    compare(&with(&["--attn-math", "fp8_q"], &quantized_q), &quantized_q);
}

pub(crate) fn greedy() {
    const TOKENS: usize = 24;
    let tokens = TOKENS.to_string();
    for dtype in ["f16", "fp8_e4m3", "int8_per_token_head"] {
        let args = [
            "generate",
            "In the beginning",
            "The king said to the people of the land that",
            "--kv-cache-dtype",
            dtype,
            "--max-tokens",
            &tokens,
            "--ignore-eos",
            "--logprobs",
            "2",
        ];
        let [cuda, cpu] = both(&args);
        assert_eq!(cuda["device"]["device"], "cuda:0");
        let mut compared = 0;
        for prompt in 0..2 {
            let logprobs = cpu["outputs"][prompt]["logprobs"].as_array().unwrap();
            let of =
                |report: &Value| report["outputs"][prompt]["token_ids"].as_array().unwrap().clone();
            let (cuda, cpu) = (of(&cuda), of(&cpu));
            assert_eq!(cpu.len(), TOKENS);
            for (i, logprob) in logprobs.iter().enumerate() {
                let top = |rank: usize| logprob["top"][rank][1].as_f64().unwrap();
                // From where the likeliest two are this close, they may go different ways.
                if top(0) - top(1) <= 0.05 {
                    break;
                }
                assert_eq!(cuda[i], cpu[i], "{dtype}, prompt {prompt}, token {i}");
                compared += 1;
            }
        }
        println!("{dtype}: {compared} of {} tokens compared", 2 * TOKENS);
        assert!(compared >= 8, "{dtype}: only {compared} tokens could be compared");
    }
}

/// The scales that a checkpoint got, layer by layer.
fn scales(dir: &str) -> Vec<f64> {
    let report = json(&["inspect", "--model", dir, "--json"]);
    let layers = report["layers"].as_array().unwrap();
    let mut all = Vec::new();
    for layer in layers {
        for side in ["k", "v"] {
            let found = &layer[side]["value"][0];
            all.push(found.as_f64().unwrap_or_else(|| panic!("no scale in {layer}")));
        }
    }
    all
}

pub(crate) fn calibration() {
    let folder = tempfile::tempdir().unwrap();
    let text = short_text();
    let run = |device: &str| {
        let out = folder.path().join(device);
        let out = out.to_str().unwrap();
        let text = text.path().to_str().unwrap();
        let args = [
            "calibrate",
            "--text",
            text,
            "--out",
            out,
            "--samples",
            "2",
            "--max-seq-len",
            "128",
            "--observer",
            "absmax",
            "--device",
            device,
            "--json",
        ];
        let report = json(&args);
        assert_eq!(report["device"]["device"], if device == "cpu" { "cpu" } else { "cuda:0" });
        scales(out)
    };
    let (cuda, cpu) = (run("cuda"), run("cpu"));
    assert_eq!((cuda.len(), cpu.len()), (8, 8));
    for (cuda, cpu) in cuda.iter().zip(&cpu) {
        // Scales are stored as bf16: two of its steps.
        assert!((cuda - cpu).abs() <= cpu / 64.0, "{cuda} on the device, {cpu} on the CPU");
    }
}

pub(crate) fn refused() {
    let ids = file("[[5,6,7]]");
    let eval = ["eval", "--device", "cuda", "--ids", ids.path().to_str().unwrap()];
    let with = |options: &[&'static str]| [&eval[..], options].concat();
    for dtype in ["f32", "fp8_e4m3fnuz", "k=fp8,v=f32"] {
        let words = ["cuda", "storage", if dtype.contains("f32") { "f32" } else { "fnuz" }];
        refuses(&with(&["--kv-cache-dtype", dtype]), &words);
        refuses(&["generate", "x", "--device", "cuda", "--kv-cache-dtype", dtype], &words);
    }
    refuses(
        &with(&["--kv-cache-dtype", "int8", "--attn-math", "int8"]),
        &["cuda", "int8 arithmetic"],
    );
    refuses(&["generate", "x", "--device", "cuda:77"], &["no CUDA device 77"]);
    let huge = ["generate", "x", "--device", "cuda", "--kv-cache-memory", "4096GiB"];
    refuses(&huge, &["bytes on the device", "free"]);
    // No cublasLt beside the emulated driver: asked for by name it is missed.
    if json(&with(&["--json"]))["device"]["linears"] == "mma" {
        refuses(&with(&["--linears", "cublaslt"]), &["cublasLt", "not found"]);
    }
    refuses(&["generate", "x", "--device", "cpu", "--linears", "mma"], &["--linears mma"]);
}
