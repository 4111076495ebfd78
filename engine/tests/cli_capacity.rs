//! `fp8kv capacity`: the arithmetic from bytes to requests.

mod common;

use common::{Model, json, keys, refuses, stdout};
use serde_json::Value;

fn result<'a>(report: &'a Value, dtype: &str) -> &'a Value {
    let results = report["results"].as_array().unwrap();
    results.iter().find(|r| r["kv_cache_dtype"] == dtype).unwrap_or_else(|| panic!("{report}"))
}

#[test]
fn the_json_has_the_documented_keys_and_numbers() {
    let args = ["capacity", "--memory", "1GiB", "--max-model-len", "1000", "--block-size", "32"];
    let report = json(&[&args[..], &["--json"]].concat());
    assert_eq!(report["memory_bytes"], 1 << 30);
    assert_eq!(report["block_size"], 32);
    for (dtype, bytes) in [("f32", 4), ("f16", 2), ("bf16", 2), ("fp8_e4m3", 1), ("fp8_e5m2", 1)] {
        let result = result(&report, dtype);
        assert_eq!(
            keys(result),
            ["blocks", "bytes_per_token", "kv_cache_dtype", "max_concurrency", "tokens"]
        );
        // Four layers, two KV heads of 32, K and V.
        let per_token = 4 * 2 * 32 * 2 * bytes;
        let blocks = (1u64 << 30) / (32 * per_token);
        assert_eq!(result["bytes_per_token"], per_token);
        assert_eq!(result["blocks"], blocks);
        assert_eq!(result["tokens"], blocks * 32);
        // 1000 tokens take 32 blocks.
        assert_eq!(result["max_concurrency"].as_f64().unwrap(), blocks as f64 / 32.0);
    }
}

#[test]
fn dtypes_can_be_chosen_also_per_side() {
    let args = ["capacity", "--memory", "64MiB", "--json"];
    let chosen = ["--kv-cache-dtype", "auto", "--kv-cache-dtype", "k=auto,v=fp8"];
    let report = json(&[&args[..], &chosen].concat());
    assert_eq!(report["results"].as_array().unwrap().len(), 2);
    assert_eq!(result(&report, "bf16")["bytes_per_token"], 1024);
    assert_eq!(result(&report, "k=bf16,v=fp8_e4m3")["bytes_per_token"], 768);
    let table = stdout(&["capacity", "--memory", "64MiB"]);
    assert!(table.contains("requests of 1024 tokens") && table.contains("64.0 MiB"), "{table}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    refuses(&["capacity", "--memory", "100"], &["100", "blocks"]);
    refuses(&["capacity", "--memory", "1GiB", "--block-size", "12"], &["block_size", "12"]);
    refuses(&["capacity", "--memory", "1GiB", "--max-model-len", "0"], &["max_model_len"]);
    refuses(&["capacity", "--memory", "1GiB", "--max-model-len", "1025"], &["1025", "1024"]);
    let bare = Model::new().remove("config.json");
    refuses(&["capacity", "--memory", "1GiB", "--model", bare.path()], &["config.json"]);
}
