//! `fp8kv eval` against transformers, and what it refuses.

mod common;

use common::{Model, asset, json, keys, references, refuses, stdout};
use serde_json::Value;

fn metric(result: &Value, name: &str) -> f64 {
    result[name].as_f64().unwrap_or_else(|| panic!("{name} in {result}"))
}

fn within(found: f64, expected: f64, fraction: f64, what: &str) {
    let off = (found - expected).abs() / expected;
    assert!(off <= fraction, "{what}: {found}, the reference has {expected}, off by {off:.4}");
}

#[test]
fn the_held_out_text_gives_the_reference_numbers() {
    let text = asset("held-out.txt");
    let mut args = vec!["eval", "--text", text.to_str().unwrap(), "--json"];
    let dtypes = ["fp8", "fp8_e5m2", "bf16", "f32"];
    dtypes.iter().for_each(|dtype| args.extend(["--kv-cache-dtype", dtype]));
    let report = json(&args);
    assert_eq!(keys(&report), ["attn_math", "baseline", "device", "model", "results", "tokens"]);
    let references = references();
    assert_eq!(report["tokens"], 512 * references["windows"].as_u64().unwrap());
    let names = ["fp8_e4m3", "fp8_e5m2", "bf16", "f32"];
    assert_eq!(report["results"].as_array().unwrap().len(), names.len());
    for (result, name) in report["results"].as_array().unwrap().iter().zip(names) {
        let expected = &references["results"][name];
        assert_eq!(result["kv_cache_dtype"], name);
        assert_eq!(result["scales"], if name.starts_with("fp8") { "default" } else { "none" });
        let quantized = name.starts_with("fp8");
        let bound = if quantized { 0.01 } else { 0.001 };
        within(metric(result, "perplexity"), metric(expected, "perplexity"), bound, name);
        within(metric(result, "nll").exp(), metric(result, "perplexity"), 1e-9, name);
        assert!(metric(result, "seconds") > 0.0);
        if name == "f32" {
            assert_eq!(metric(result, "mean_abs_dlogp"), 0.0);
            assert_eq!(metric(result, "argmax_agreement"), 1.0);
        } else {
            let distance = metric(expected, "mean_abs_dlogp");
            within(metric(result, "mean_abs_dlogp"), distance, 0.15, name);
            let agreement = metric(expected, "argmax_agreement");
            within(metric(result, "argmax_agreement"), agreement, 0.01, name);
        }
    }
    assert_eq!(report["baseline"], report["results"][3]);
}

fn ids_file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

fn path(file: &tempfile::NamedTempFile) -> &str {
    file.path().to_str().unwrap()
}

/// The chunks of 128 and the sequence beside it change nothing: scores are per sequence.
#[test]
fn ids_are_scored_sequence_by_sequence() {
    let first: Vec<u32> = (0..200).map(|i| 2 + i * 37 % 2000).collect();
    let second = vec![990, 260, 1723, 1205];
    let run = |sequences: &[&Vec<u32>]| {
        let file = ids_file(&serde_json::to_string(sequences).unwrap());
        json(&["eval", "--ids", path(&file), "--kv-cache-dtype", "f32", "--json"])
    };
    let (a, b, both) = (run(&[&first]), run(&[&second]), run(&[&first, &second]));
    assert_eq!(a["tokens"], 200);
    assert_eq!(both["tokens"], 204);
    let nll = |report: &Value| metric(&report["results"][0], "nll");
    let mean = (199.0 * nll(&a) + 3.0 * nll(&b)) / 202.0;
    within(nll(&both), mean, 1e-12, "the mean over both sequences");
}

#[test]
fn scales_of_the_checkpoint_are_used_and_said() {
    let model = Model::new().with_scales(0.02, 0.01);
    let file = ids_file("[[990,260,1723,1205,13,269,292,260,1982,382]]");
    let base = ["eval", "--ids", path(&file), "--kv-cache-dtype", "fp8"];
    let report = json(&[&base[..], &["--model", model.path(), "--json"]].concat());
    let with = &report["results"][0];
    assert_eq!(with["scales"], "checkpoint");
    let without = &json(&[&base[..], &["--json"]].concat())["results"][0];
    assert_eq!(without["scales"], "default");
    assert_ne!(metric(with, "nll"), metric(without, "nll"), "the scales changed nothing");
    let table = stdout(&base);
    assert!(table.contains("perplexity") && table.contains("f32") && table.contains("fp8_e4m3"));
}

#[test]
fn what_cannot_be_scored_is_refused() {
    let short = ids_file("In the beginning");
    refuses(&["eval", "--text", path(&short)], &["4 tokens", "512"]);
    let latin1 = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(latin1.path(), b"caf\xe9").unwrap();
    refuses(&["eval", "--text", path(&latin1)], &["utf-8"]);
    refuses(&["eval", "--text", "/no/such/file"], &["/no/such/file"]);
    for (ids, words) in [
        ("[[1,2],[3]]", &["sequence 1"][..]),
        ("[]", &["no sequences"]),
        ("{\"ids\": [1,2]}", &["array of arrays"]),
        ("[[1,2048]]", &["2048"]),
    ] {
        let file = ids_file(ids);
        refuses(&["eval", "--ids", path(&file)], words);
    }
    let long = ids_file(&serde_json::to_string(&[vec![5; 1025]]).unwrap());
    refuses(&["eval", "--ids", path(&long)], &["1025", "1024"]);
    let fine = ids_file("[[5,6,7]]");
    refuses(&["eval", "--ids", path(&fine), "--kv-cache-dtype", "fp4"], &["fp4", "fp8_e4m3"]);
    let model = Model::new().remove("tokenizer.json");
    let text = asset("held-out.txt");
    let args = ["eval", "--model", model.path(), "--text", text.to_str().unwrap()];
    refuses(&args, &["tokenizer.json"]);
    json(&["eval", "--model", model.path(), "--ids", path(&fine), "--json"]);
}
