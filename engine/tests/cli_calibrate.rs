//! `fp8kv calibrate` with the embedded model: what it writes, what it reports, what it refuses.

mod common;

use std::path::Path;

use common::{Model, asset, fp8kv, json, refuses, stdout};
use serde_json::{Value, json};

/// Runs a calibration of little text into a new directory.
fn calibrate(out: &Path, more: &[&str]) -> Value {
    let text = asset("held-out.txt");
    let args = ["calibrate", "--text", text.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let small = ["--samples", "4", "--max-seq-len", "128", "--json"];
    json(&[&args[..], &small, more].concat())
}

fn inspect(model: &Path, more: &[&str]) -> Value {
    let args = ["inspect", "--model", model.to_str().unwrap(), "--json"];
    json(&[&args[..], more].concat())
}

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect()
}

fn scales(report: &Value, layer: usize, tensor: &str) -> Vec<f32> {
    numbers(&report["layers"][layer][tensor]["value"])
}

#[test]
fn what_is_written_is_what_was_found_for_every_format_and_granularity() {
    let place = tempfile::tempdir().unwrap();
    for (i, (dtype, strategy, observer, heads)) in [
        ("fp8_e4m3", "tensor", "absmax", [1, 1]),
        ("fp8_e4m3", "attn_head", "attention", [4, 2]),
        ("fp8_e5m2", "attn_head", "mse", [4, 2]),
        ("int8", "tensor", "k=attention,v=mse", [1, 1]),
        ("int8", "attn_head", "percentile:99.9", [4, 2]),
        ("fp8_e4m3fnuz", "tensor", "minmax", [1, 1]),
        ("k=fp8_e4m3,v=fp8_e5m2fnuz", "attn_head", "q=absmax,k=mse,v=attention", [4, 2]),
    ]
    .into_iter()
    .enumerate()
    {
        let out = place.path().join(i.to_string());
        let options = ["--kv-cache-dtype", dtype, "--strategy", strategy, "--observer", observer];
        let report = calibrate(&out, &options);
        assert_eq!((&report["samples"], &report["tokens"]), (&json!(4), &json!(512)));
        // `auto` is what was calibrated for.
        let found = inspect(&out, &[]);
        assert_eq!(found["kv_cache_dtype"], report["kv_cache_dtype"]);
        assert_eq!(report["layers"].as_array().unwrap().len(), 4);
        for (layer, reported) in report["layers"].as_array().unwrap().iter().enumerate() {
            for (tensor, heads) in [("q", heads[0]), ("k", heads[1]), ("v", heads[1])] {
                let factor = match (dtype, tensor) {
                    ("fp8_e4m3fnuz", _) | ("k=fp8_e4m3,v=fp8_e5m2fnuz", "v") => 2.0,
                    _ => 1.0,
                };
                let values: Vec<f32> =
                    numbers(&reported[tensor]["scale"]).iter().map(|v| factor * v).collect();
                assert_eq!(values.len(), heads);
                assert!(values.iter().all(|v| *v > 0.0));
                assert_eq!(scales(&found, layer, tensor), values, "{dtype} layer {layer} {tensor}");
                assert_eq!(found["layers"][layer][tensor]["origin"], "checkpoint");
                let heads = reported[tensor]["heads"].as_array().unwrap();
                assert_eq!(heads.len(), if tensor == "q" { 4 } else { 2 });
                for head in heads {
                    assert!(head["sqnr_db"].as_f64().unwrap() > 15.0, "{dtype} {tensor} {head}");
                    assert!(head["max"].as_f64().unwrap() > head["min"].as_f64().unwrap());
                }
            }
        }
    }
}

#[test]
fn the_result_runs_and_is_compared_side_by_side() {
    let place = tempfile::tempdir().unwrap();
    let (coarse, fine) = (place.path().join("coarse"), place.path().join("fine"));
    calibrate(&coarse, &["--kv-cache-dtype", "int8", "--observer", "absmax", "--no-q"]);
    let options = ["--kv-cache-dtype", "int8", "--observer", "mse", "--strategy", "attn_head"];
    calibrate(&fine, &options);
    assert_eq!(inspect(&coarse, &[])["layers"][0]["q"]["origin"], "default");
    let text = "And it came to pass in those days, that there went out a decree";
    let model = coarse.to_str().unwrap();
    stdout(&["generate", "--model", model, "--max-tokens", "4", text]);
    let ids: Vec<u32> = (0..300).map(|i| 2 + i * 37 % 2000).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), json!([ids]).to_string()).unwrap();
    let file = file.path().to_str().unwrap();
    let sets = ["--scales", model, "--scales", fine.to_str().unwrap()];
    let eval = ["eval", "--ids", file, "--kv-cache-dtype", "fp8"];
    let report = json(&[&eval[..], &sets, &["--json"]].concat());
    let results = report["results"].as_array().unwrap();
    let column = |key: &str| results.iter().map(|r| r[key].clone()).collect::<Vec<_>>();
    assert_eq!(column("kv_cache_dtype"), ["fp8_e4m3", "int8", "int8"]);
    assert_eq!(column("scales"), ["default", "checkpoint", "checkpoint"]);
    assert_eq!(column("scale_set"), [Value::Null, json!(model), json!(fine.to_str().unwrap())]);
    let distance = column("mean_abs_dlogp");
    assert!(distance.iter().all(|d| d.as_f64().unwrap() > 0.0) && distance[1] != distance[2]);
    // The same scales from within the model.
    let own = json(&["eval", "--ids", file, "--model", model, "--json"]);
    assert_eq!(own["results"][0]["mean_abs_dlogp"], distance[1]);
    let table = stdout(&[&eval[..], &sets].concat());
    assert!(table.contains(model) && table.contains("default"), "{table}");
    let plain = Model::new();
    refuses(&["eval", "--ids", file, "--scales", plain.path()], &[plain.path(), "quantized"]);
}

#[test]
fn samples_come_from_text_conversations_or_ids() {
    let place = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = place.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let model = Model::new().edit("tokenizer_config.json", |config| {
        config["chat_template"] = "{% for m in messages %}{{ m.content }}\n{% endfor %}".into();
    });
    let run = |input: [&str; 2], out: &str, more: &[&str]| {
        let out = place.path().join(out);
        let args = ["calibrate", "--model", model.path(), "--json", "--out", out.to_str().unwrap()];
        json(&[&args[..], &input, more].concat())
    };
    let message = json!({"role": "user", "content": "And God said, Let there be light"});
    let lines = format!("{}\n{}\n", json!({"messages": [message]}), json!({"text": "Of man"}));
    let chat = run(["--jsonl", &file("chat.jsonl", &lines)], "a", &["--samples", "9"]);
    assert_eq!(chat["samples"], 2);
    let ids = file("ids.json", "[[990,260,1723,1205],[872,409,481,756]]");
    let two = run(["--ids", &ids], "b", &[]);
    assert_eq!((&two["samples"], &two["tokens"]), (&json!(2), &json!(8)));
    let one = run(["--ids", &ids], "c", &["--samples", "1"]);
    assert_eq!((&one["samples"], &one["tokens"]), (&json!(1), &json!(4)));
    // Runs repeat to the last digit.
    let again = run(["--ids", &ids], "d", &["--threads", "1"]);
    assert_eq!(again["layers"], two["layers"]);
}

#[test]
fn reports_are_written_as_text_json_and_picture() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let (text, data, picture) = (at("r.txt"), at("r.json"), at("r.svg"));
    let reports = ["--report", &text, "--report", &data, "--report", &picture];
    let report = calibrate(&place.path().join("out"), &reports);
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    let written: Value = serde_json::from_str(&read(&data)).unwrap();
    assert_eq!(written["layers"], report["layers"]);
    // 4 layers of 4 + 2 + 2 heads, below a head of three lines.
    assert_eq!(read(&text).lines().count(), 3 + 4 * 8);
    assert_eq!(read(&picture).matches("<title>").count(), 2 * 4 * 8);
    let names: Vec<_> = std::fs::read_dir(place.path()).unwrap().map(|e| e.unwrap()).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    let asset = asset("held-out.txt");
    let out = at("second");
    let args = ["calibrate", "--text", asset.to_str().unwrap(), "--samples", "1", "--out", &out];
    let shown = stdout(&args);
    assert!(shown.contains("worst SQNR") && shown.trim_end().ends_with(&out), "{shown}");
}

#[test]
fn what_cannot_be_calibrated_is_refused_and_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("out");
    let out = out.to_str().unwrap();
    let text = asset("held-out.txt");
    let text = text.to_str().unwrap();
    let file = |content: &[u8]| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        file
    };
    let with = |input: &[&str], more: &[&str], words: &[&str]| {
        refuses(&[&["calibrate", "--out", out][..], input, more].concat(), words);
    };
    for (more, words) in [
        (&["--observer", "best"][..], &["`best`", "absmax", "attention"][..]),
        (&["--observer", "percentile:101"], &["percentile:101"]),
        (&["--kv-cache-dtype", "fp4"], &["fp4"]),
        (&["--kv-cache-dtype", "auto"], &["auto", "no static scales"]),
        (&["--kv-cache-dtype", "k=bf16,v=fp8"], &["bf16", "no static scales"]),
        (&["--kv-cache-dtype", "int8_per_token_head"], &["int8_per_token_head"]),
        (&["--kv-cache-dtype", "k=int8,v=fp8"], &["int8", "one type"]),
        (&["--samples", "0"], &["samples is 0"]),
        (&["--max-seq-len", "0"], &["max_seq_len is 0", "1024"]),
        (&["--max-seq-len", "1025"], &["1025", "1024"]),
        (&["--threads", "0"], &["num_threads"]),
        (&["--report", "report.pdf"], &["report.pdf", ".svg"]),
        (&["--report", "no/such/r.txt"], &["no/such/r.txt", "does not exist"]),
        (&["--model", "/no/such/model"], &["/no/such/model"]),
    ] {
        with(&["--text", text], more, words);
    }
    for (content, words) in [
        (&b""[..], &["empty"][..]),
        (b"In the beginning", &["4 tokens", "512"]),
        (b"caf\xe9", &["utf-8"]),
    ] {
        let file = file(content);
        let path = file.path().to_str().unwrap();
        with(&["--text", path], &[], &[&[path], words].concat());
    }
    for (content, words) in
        [("[]", "no sequences"), ("[[1,2048]]", "2048"), ("[[1]]", "sequence 0")]
    {
        let file = file(content.as_bytes());
        with(&["--ids", file.path().to_str().unwrap()], &[], &[words]);
    }
    let long = file(json!([vec![5; 513]]).to_string().as_bytes());
    with(&["--ids", long.path().to_str().unwrap()], &[], &["513", "512"]);
    let chat = file(b"{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}");
    with(&["--jsonl", chat.path().to_str().unwrap()], &[], &["line 1", "chat template"]);
    with(&["--text", "/no/such/text"], &[], &["/no/such/text"]);
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn an_existing_directory_or_a_missing_parent_is_refused_before_any_work() {
    let place = tempfile::tempdir().unwrap();
    let exists = place.path().to_str().unwrap();
    let text = asset("held-out.txt");
    let args = ["calibrate", "--text", text.to_str().unwrap(), "--out"];
    refuses(&[&args[..], &[exists]].concat(), &[exists, "exists"]);
    let orphan = place.path().join("no/such");
    refuses(&[&args[..], &[orphan.to_str().unwrap()]].concat(), &["no"]);
    // A config that cannot hold our scheme, too.
    let quark = Model::new().edit("config.json", |config| {
        config["quantization_config"] = json!({"quant_method": "quark", "export": {}});
    });
    let out = place.path().join("out");
    let args = [&args[..], &[out.to_str().unwrap(), "--model", quark.path()]].concat();
    refuses(&args, &["quark"]);
}

#[test]
fn activations_that_are_not_numbers_are_an_error() {
    let model = Model::new();
    let path = model.file("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let json: Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    let offset =
        json["model.layers.2.self_attn.v_proj.weight"]["data_offsets"][0].as_u64().unwrap();
    // A NaN in bf16.
    let at = 8 + header + offset as usize;
    bytes[at..at + 2].copy_from_slice(&[0xc0, 0x7f]);
    std::fs::write(&path, bytes).unwrap();
    let place = tempfile::tempdir().unwrap();
    let (out, text) = (place.path().join("out"), asset("held-out.txt"));
    let args = ["calibrate", "--model", model.path(), "--text", text.to_str().unwrap(), "--out"];
    refuses(&[&args[..], &[out.to_str().unwrap()]].concat(), &["layer 2, v, head 0", "NaN"]);
    assert!(!out.exists());
    // Nor does anything come of random tokens.
    let args = ["inspect", "--model", model.path(), "--calculate-kv-scales"];
    refuses(&[&args[..], &["--kv-cache-dtype", "fp8"]].concat(), &["layer 2", "v scale", "NaN"]);
}

/// Calculated scales: reported by `inspect` and by a run, the same each time, another for each seed.
#[test]
fn calculated_scales_are_reported_and_repeat() {
    let scales =
        |more: &[&str]| json(&[&["inspect", "--calculate-kv-scales", "--json"][..], more].concat());
    let (first, again, other) = (scales(&[]), scales(&[]), scales(&["--calculate-seed", "7"]));
    assert_eq!(first, again);
    assert_ne!(first["fingerprint"], other["fingerprint"]);
    assert_eq!(first["layers"][0]["k"]["origin"], "on_the_fly");
    let args = ["generate", "In the", "--max-tokens", "1", "--calculate-kv-scales", "--json"];
    let run = json(&args);
    assert_eq!(run["kv_cache"]["scales"], "on_the_fly");
    assert_eq!(run["kv_cache"]["scales_fingerprint"], first["fingerprint"]);
    let note = String::from_utf8(fp8kv(&args).stderr).unwrap();
    assert!(note.contains("calculated on the fly"), "{note}");
    // vLLM's constants: K over 200, V over 100; INT8 over 127.
    let int8 = scales(&["--kv-cache-dtype", "int8"]);
    for (tensor, ratio) in [("k", 200.0 / 127.0), ("v", 100.0 / 127.0)] {
        let value = |report: &Value| report["layers"][1][tensor]["value"][0].as_f64().unwrap();
        assert!((value(&int8) / value(&first) / ratio - 1.0).abs() < 1e-6);
    }
    refuses(&["inspect", "--calculate-kv-scales", "--platform", "fnuz"], &["fnuz"]);
    // What is exempt, or not quantized, is left alone.
    let k16 = scales(&["--kv-cache-dtype", "k=auto,v=fp8"]);
    assert_eq!(k16["layers"][0]["k"]["origin"], "ignored");
    assert_eq!(k16["layers"][0]["v"]["origin"], "on_the_fly");
}
