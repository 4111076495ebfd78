//! Bad input: one line on stderr that names the thing, exit code 1, no panic.

mod common;

use std::process::{Command, Stdio};

use common::{Model, error, fp8kv, refuses};
use serde_json::json;

const GENERATE: [&str; 4] = ["generate", "In the beginning", "--max-tokens", "2"];

fn refuses_model(model: &Model, words: &[&str]) {
    refuses(&[&GENERATE[..], &["--model", model.path()]].concat(), words);
}

#[test]
fn a_truncated_safetensors_file() {
    let whole = std::fs::read(common::asset("tiny-llama/model.safetensors")).unwrap();
    for keep in [0, 7, 8, 100, whole.len() / 2, whole.len() - 1] {
        let model = Model::new().write("model.safetensors", &whole[..keep]);
        refuses_model(&model, &["model.safetensors"]);
    }
}

#[test]
fn a_header_that_lies() {
    let cases = [
        // Beyond the end, reversed, of another length than the shape, over its neighbour.
        ("\"data_offsets\":[0,524288]", "\"data_offsets\":[0,924288]"),
        ("\"data_offsets\":[0,524288]", "\"data_offsets\":[9,000001]"),
        ("\"data_offsets\":[0,524288]", "\"data_offsets\":[2,524288]"),
        ("\"shape\":[2048,128]", "\"shape\":[2048,129]"),
        ("\"dtype\":\"BF16\"", "\"dtype\":\"BF61\""),
    ];
    for (from, to) in cases {
        refuses_model(&Model::new().edit_header(from, to), &["model.safetensors"]);
    }
    let mut bytes = std::fs::read(common::asset("tiny-llama/model.safetensors")).unwrap();
    bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    refuses_model(&Model::new().write("model.safetensors", bytes), &["18446744073709551615"]);
}

#[test]
fn a_config_that_cannot_be() {
    let config = |field: &'static str, value: serde_json::Value| {
        Model::new().edit("config.json", |config| config[field] = value)
    };
    refuses_model(&config("num_key_value_heads", json!(3)), &["num_key_value_heads", "3", "4"]);
    refuses_model(&config("architectures", json!(["GPT2LMHeadModel"])), &["GPT2LMHeadModel"]);
    refuses_model(&config("hidden_act", json!("gelu")), &["hidden_act", "gelu"]);
    refuses_model(&config("num_hidden_layers", json!(5)), &["model.layers.4."]);
    refuses_model(&config("hidden_size", json!(0)), &["hidden_size"]);
    refuses_model(&config("num_attention_heads", json!("four")), &["num_attention_heads"]);
    refuses_model(&config("vocab_size", json!(2049)), &["model.embed_tokens.weight", "2049"]);
    refuses_model(&Model::new().write("config.json", "{\"a\": "), &["config.json"]);
    refuses_model(&Model::new().write("config.json", "[]"), &["config.json"]);
    refuses_model(&Model::new().remove("config.json"), &["config.json"]);
}

#[test]
fn a_missing_tensor() {
    let name = "model.layers.2.mlp.up_proj.weight";
    let model = Model::new().edit_header(name, &name.replace("up", "xx"));
    refuses_model(&model, &[name, "missing"]);
}

#[test]
fn a_broken_tokenizer() {
    refuses_model(&Model::new().write("tokenizer.json", "{}"), &["tokenizer.json"]);
    refuses_model(&Model::new().remove("tokenizer.json"), &["tokenizer.json"]);
}

/// A weight of NaN must not look like a working model.
#[test]
fn a_weight_that_is_not_a_number() {
    let mut bytes = std::fs::read(common::asset("tiny-llama/model.safetensors")).unwrap();
    let last = bytes.len() - 2;
    bytes[last..].copy_from_slice(&0x7FC0u16.to_le_bytes());
    refuses_model(&Model::new().write("model.safetensors", bytes), &["NaN"]);
}

#[test]
fn a_dtype_that_does_not_exist_lists_those_that_do() {
    for name in ["fp4", "FP8", "", "k=fp8", "k=fp8,v=fp8,q=fp8", "fp8,f32"] {
        for command in [&["generate", "x"][..], &["inspect"], &["capacity", "--memory", "1GiB"]] {
            let words = ["auto", "f32", "bf16", "fp8_e4m3", "fp8_e5m2", "int8"];
            refuses(&[command, &["--kv-cache-dtype", name]].concat(), &words);
        }
    }
}

#[test]
fn a_prompt_that_does_not_fit() {
    let long = "and ".repeat(1100);
    refuses(&["generate", &long], &["max_position_embeddings", "1024"]);
    refuses(&["generate", "--chat", "x"], &["chat template"]);
    refuses(&["generate", ""], &["empty"]);
    let small = ["--kv-cache-memory", "16KiB", "--max-tokens", "500"];
    refuses(&[&["generate", "In the beginning"][..], &small].concat(), &["blocks"]);
}

#[test]
fn an_option_outside_its_range() {
    for (option, value, word) in [
        ("--temperature", "-1", "temperature"),
        ("--temperature", "nan", "temperature"),
        ("--top-p", "0", "top_p"),
        ("--top-k", "0", "top_k"),
        ("--min-p", "2", "min_p"),
        ("--max-tokens", "0", "max_tokens"),
        ("--stop", "", "stop"),
        ("--block-size", "12", "block_size"),
        ("--threads", "0", "threads"),
        ("--kv-cache-memory", "1KiB", "blocks"),
        ("--device", "cuda", "cuda"),
    ] {
        let option = format!("{option}={value}");
        refuses(&["generate", "In the beginning", &option], &[word]);
    }
    refuses(&["inspect", "--platform", "tpu"], &["tpu", "ocp, fnuz"]);
}

#[test]
fn a_place_that_is_no_checkpoint() {
    refuses_model_path("/no/such/place", &["/no/such/place"]);
    let empty = tempfile::tempdir().unwrap();
    refuses_model_path(empty.path().to_str().unwrap(), &["no checkpoint"]);
    let file = tempfile::NamedTempFile::new().unwrap();
    refuses_model_path(file.path().to_str().unwrap(), &["not a directory"]);
    // A line break in a name does not make a second line.
    error(&["inspect", "--model", "/no/such\nplace"]);
}

fn refuses_model_path(path: &str, words: &[&str]) {
    for command in [&GENERATE[..], &["inspect"], &["capacity", "--memory", "1GiB"]] {
        refuses(&[command, &["--model", path]].concat(), words);
    }
}

#[test]
fn wrong_usage_exits_with_2() {
    for args in [
        &[][..],
        &["generate"],
        &["speak"],
        &["generate", "x", "--no-such-option"],
        &["generate", "x", "--max-tokens", "many"],
        &["generate", "x", "--logprobs", "2"],
        &["capacity"],
        &["capacity", "--memory", "lots"],
        &["eval"],
        &["eval", "--text", "a", "--ids", "b"],
    ] {
        let output = fp8kv(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
    assert!(fp8kv(&["--help"]).status.success());
}

/// `fp8kv … | head -1`: the reader goes away, and that is no error and no panic.
#[test]
fn a_closed_pipe_ends_quietly() {
    for args in [&["inspect"][..], &["generate", "In the beginning"], &["inspect", "--json"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fp8kv"))
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && !stderr.contains("error"), "{args:?}: {stderr}");
        assert!(!stderr.contains("panicked"), "{args:?}: {stderr}");
    }
}
