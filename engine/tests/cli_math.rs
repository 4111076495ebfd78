//! `--attn-math`, and the dtypes whose scales are dynamic, through the real binary.

mod common;

use common::{Model, asset, json, refuses};
use serde_json::Value;

fn warns(report: &Value, code: &str) -> bool {
    report["warnings"].as_array().unwrap().iter().any(|w| w["code"] == code)
}

/// Of one sequence that is longer than a chunk of attention.
fn eval(args: &[&str]) -> Value {
    let file = tempfile::NamedTempFile::new().unwrap();
    let ids: Vec<usize> = (0..300).map(|i| 3 + i * i % 1789).collect();
    std::fs::write(file.path(), format!("{:?}", [ids])).unwrap();
    let base = ["eval", "--ids", file.path().to_str().unwrap(), "--json"];
    json(&[&base[..], args].concat())
}

#[test]
fn every_dtype_and_math_stays_near_the_f32_cache() {
    for (math, dtypes, distance) in [
        ("default", &["fp8_per_token_head", "int8_per_token_head"][..], 0.1),
        ("fp8_q", &["fp8", "fp8_per_token_head"], 0.12),
        ("fp8", &["fp8", "k=fp8,v=fp8_e5m2"], 0.2),
        ("int8", &["int8_per_token_head"], 0.04),
    ] {
        let dtypes = dtypes.iter().flat_map(|dtype| ["--kv-cache-dtype", dtype]);
        let args: Vec<&str> = ["--attn-math", math].into_iter().chain(dtypes).collect();
        let report = eval(&args);
        assert_eq!(report["attn_math"], math);
        let exact = report["baseline"]["perplexity"].as_f64().unwrap();
        for result in report["results"].as_array().unwrap() {
            let perplexity = result["perplexity"].as_f64().unwrap();
            assert!((perplexity / exact - 1.0).abs() < 0.05, "{math}: {result} {exact}");
            let off = result["mean_abs_dlogp"].as_f64().unwrap();
            assert!(off > 0.0 && off < distance, "{math}: {result}");
        }
    }
}

/// The arithmetic does something, and what it does is its own.
#[test]
fn maths_differ() {
    let perplexity = |math| {
        let report = eval(&["--kv-cache-dtype", "fp8", "--attn-math", math]);
        report["results"][0]["nll"].as_f64().unwrap()
    };
    let [default, fp8_q, fp8] = ["default", "fp8_q", "fp8"].map(perplexity);
    assert!(default != fp8_q && fp8_q != fp8 && default != fp8, "{default} {fp8_q} {fp8}");
}

#[test]
fn what_the_cache_does_not_allow_is_refused() {
    let run = |dtype, math, words: &[&str]| {
        refuses(&["generate", "--kv-cache-dtype", dtype, "--attn-math", math, "x"], words);
    };
    run("bf16", "fp8_q", &["fp8_q", "K in FP8", "bf16"]);
    run("k=fp8,v=auto", "fp8", &["K and V in FP8", "fp8_e4m3", "bf16"]);
    run("fp8", "int8", &["K and V in INT8", "fp8_e4m3"]);
    let text = asset("held-out.txt");
    let eval = ["eval", "--text", text.to_str().unwrap(), "--attn-math", "fp8_q"];
    refuses(&[&eval[..], &["--kv-cache-dtype", "f32"]].concat(), &["fp8_q", "f32"]);
}

/// Loaded q and prob scales that the arithmetic does not use are reported, not refused.
#[test]
fn q_and_prob_scales() {
    let name = |layer: usize, what| format!("model.layers.{layer}.self_attn.{what}_scale");
    let tensors: Vec<_> = (0..4)
        .flat_map(|l| {
            [("q", 0.05), ("k", 0.02), ("v", 0.01), ("prob", 0.003)].map(|(n, s)| (l, n, s))
        })
        .map(|(layer, what, scale)| (name(layer, what), vec![scale]))
        .collect();
    let model = Model::new().add_tensors(&tensors);
    for (math, unused, words) in [
        ("default", true, &["q_scale", "prob_scale"][..]),
        ("fp8_q", true, &["prob_scale"]),
        ("fp8", false, &[]),
    ] {
        let args = ["inspect", "--model", model.path(), "--kv-cache-dtype", "fp8", "--json"];
        let report = json(&[&args[..], &["--attn-math", math]].concat());
        assert_eq!(warns(&report, "unused_by_math"), unused, "{math}: {report}");
        let told = report["warnings"].to_string();
        assert!(words.iter().all(|word| told.contains(word)), "{math}: {told}");
        assert_eq!(told.contains("q_scale"), math == "default", "{math}: {told}");
    }
    // They are used: another q scale gives another result.
    let run = |model: &Model, math| {
        let args = ["generate", "--model", model.path(), "--kv-cache-dtype", "fp8", "--json"];
        let more = ["--max-tokens", "24", "--logprobs", "0", "--attn-math", math, "The old man"];
        json(&[&args[..], &more].concat())["outputs"].clone()
    };
    let coarse = tensors
        .iter()
        .map(|(n, s)| (n.clone(), if n.contains("q_scale") { vec![0.7] } else { s.clone() }));
    let coarse = Model::new().add_tensors(&coarse.collect::<Vec<_>>());
    assert_eq!(run(&model, "default"), run(&coarse, "default"));
    assert_ne!(run(&model, "fp8_q"), run(&coarse, "fp8_q"));
    assert_ne!(run(&model, "fp8_q"), run(&model, "fp8"));
}

#[test]
fn dynamic_scales_take_room() {
    let args = ["capacity", "--memory", "64MiB", "--json"];
    let chosen = [
        "--kv-cache-dtype",
        "fp8_per_token_head",
        "--kv-cache-dtype",
        "k=int8_per_token_head,v=auto",
    ];
    let report = json(&[&args[..], &chosen].concat());
    // Four layers, two KV heads of 32; four bytes per head and dynamic side.
    assert_eq!(report["results"][0]["bytes_per_token"], 4 * 2 * 2 * (32 + 4));
    assert_eq!(report["results"][1]["bytes_per_token"], 4 * 2 * (32 + 4 + 64));
}
