//! `fp8kv generate`, run as a user runs it.

mod common;

use common::{Model, fp8kv, json, keys, references, stdout};
use serde_json::{Value, json as j};

const PROMPT: &str = "In the beginning";

fn ids(output: &Value) -> Vec<u64> {
    output["token_ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect()
}

#[test]
fn the_json_has_the_documented_keys() {
    let report = json(&["generate", PROMPT, "Alice was", "--max-tokens", "5", "--json"]);
    assert_eq!(keys(&report), ["device", "kv_cache", "model", "outputs"]);
    let outputs = report["outputs"].as_array().unwrap();
    assert_eq!(outputs.len(), 2);
    for (output, prompt) in outputs.iter().zip([PROMPT, "Alice was"]) {
        assert_eq!(keys(output), ["finish_reason", "prompt", "text", "token_ids"]);
        assert_eq!(output["prompt"], prompt);
        assert_eq!(output["finish_reason"], "length");
        assert_eq!(ids(output).len(), 5);
        assert!(output["text"].as_str().unwrap().len() > 5);
    }
    let cache = &report["kv_cache"];
    assert_eq!(cache["dtype"], "fp8_e4m3", "the embedded model's default");
    // Four layers of two KV heads of 32, K and V, one byte each.
    let tokens = cache["blocks"].as_u64().unwrap() * cache["block_size"].as_u64().unwrap();
    assert_eq!(cache["bytes"], tokens * 4 * 2 * 32 * 2);
}

/// The continuation of transformers, up to the first token that is not certain.
#[test]
fn greedy_text_is_the_reference() {
    for reference in references()["greedy"].as_array().unwrap() {
        let prompt = reference["prompt"].as_str().unwrap();
        let report =
            json(&["generate", prompt, "--kv-cache-dtype", "f32", "--max-tokens", "40", "--json"]);
        assert_eq!(report["kv_cache"]["dtype"], "f32");
        let margins = reference["margins"].as_array().unwrap();
        let certain = margins.iter().take_while(|m| m.as_f64().unwrap() > 0.05).count();
        assert!(certain >= 2, "{prompt}: the test would compare next to nothing");
        let expected: Vec<u64> =
            reference["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
        assert_eq!(ids(&report["outputs"][0])[..certain], expected[..certain], "{prompt}");
        if certain == 40 {
            assert_eq!(report["outputs"][0]["text"], reference["text"]);
        }
    }
}

#[test]
fn text_goes_to_stdout_and_the_cache_to_stderr() {
    let output = fp8kv(&["generate", PROMPT, "--max-tokens", "8"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("In the beginning, and in the"), "{text:?}");
    assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{text:?}");
    let note = String::from_utf8(output.stderr).unwrap();
    for word in
        ["KV cache fp8_e4m3: ", " blocks of 16 tokens, ", "50% saved against bf16", "tokens/s"]
    {
        assert!(note.contains(word), "{word:?} is not in {note:?}");
    }
    assert!(!note.contains("warning"), "the first command a newcomer runs warns: {note}");
    let two = stdout(&["generate", PROMPT, "Alice was", "--max-tokens", "8"]);
    assert!(two.starts_with(&text) && two.contains("\n\nAlice was"), "{two:?}");
}

/// A prompt's text does not depend on what it is generated beside, nor on block size or threads.
#[test]
fn sampling_is_reproducible_whatever_runs_beside_it() {
    let base = ["generate", "--temperature", "1", "--seed", "7", "--max-tokens", "12", "--json"];
    let run = |more: &[&str]| json(&[&base[..], more].concat())["outputs"].clone();
    let alone = run(&[PROMPT]);
    assert_eq!(run(&[PROMPT]), alone);
    assert_eq!(run(&["Alice was", PROMPT, "Of man's first"])[1], alone[0]);
    assert_eq!(run(&[PROMPT, "--block-size", "64", "--threads", "1"])[0], alone[0]);
    assert_ne!(run(&[PROMPT, "--seed", "8", "--top-p", "1"]), alone);
    assert_ne!(run(&[PROMPT, "--temperature", "0"]), alone);
    let greedy = run(&[PROMPT, "--temperature", "0"]);
    for one in [["--top-k", "1"], ["--top-p", "0.000001"], ["--min-p", "1"]] {
        assert_eq!(run(&[&[PROMPT][..], &one].concat()), greedy, "{one:?}");
    }
}

#[test]
fn text_ends_where_it_is_told_to() {
    let run = |more: &[&str]| {
        let base = ["generate", PROMPT, "--kv-cache-dtype", "f32", "--max-tokens", "40", "--json"];
        json(&[&base[..], more].concat())["outputs"][0].clone()
    };
    let text = |output: &Value| output["text"].as_str().unwrap().to_owned();
    // The reference goes ", and in the region of the world, and in the world, …".
    let at_string = run(&["--stop", "nothing", "--stop", " of the wo"]);
    assert_eq!(text(&at_string), ", and in the region");
    assert_eq!(at_string["finish_reason"], "stop");
    let at_token = run(&["--stop-token-id", "1982"]);
    assert_eq!(
        (ids(&at_token), text(&at_token).as_str()),
        (vec![13, 269, 292, 260, 1982], ", and in the")
    );
    assert_eq!(at_token["finish_reason"], "stop");
    assert_eq!(run(&["--max-tokens", "3"])["finish_reason"], "length");
}

#[test]
fn logprobs_are_reported() {
    let report = json(&["generate", PROMPT, "--max-tokens", "3", "--logprobs", "2", "--json"]);
    let output = &report["outputs"][0];
    let logprobs = output["logprobs"].as_array().unwrap();
    assert_eq!(logprobs.len(), 3);
    for (entry, id) in logprobs.iter().zip(ids(output)) {
        assert_eq!(entry["token_id"], id);
        assert!(entry["logprob"].as_f64().unwrap() < 0.0);
        // Greedy: the token is the first of the likeliest.
        assert_eq!(entry["top"][0], j!([id, entry["logprob"]]));
        assert!(entry["top"][1][1].as_f64() <= entry["logprob"].as_f64());
    }
}

/// The template's text is fed as it is, without a second BOS from the tokenizer.
#[test]
fn chat_goes_through_the_template() {
    let model = Model::new().edit("tokenizer_config.json", |config| {
        config["chat_template"] =
            j!("{% for m in messages %}{{ m['content'] }} the{% endfor %}{{ ' beginning' }}");
    });
    let chat = ["generate", "--chat", "In", "--model", model.path(), "--kv-cache-dtype", "f32"];
    let report = json(&[&chat[..], &["--max-tokens", "6", "--json"]].concat());
    assert_eq!(report["outputs"][0]["prompt"], "In");
    assert_eq!(ids(&report["outputs"][0]), [13, 269, 292, 260, 1982, 382]);
    // On a terminal, an answer is shown without the question.
    assert_eq!(stdout(&[&chat[..], &["--max-tokens", "4"]].concat()), ", and in the\n");
}

#[test]
fn a_checkpoint_of_ones_own_keeps_its_dtype() {
    let model = Model::new();
    let report =
        json(&["generate", PROMPT, "--model", model.path(), "--max-tokens", "2", "--json"]);
    assert_eq!(report["kv_cache"]["dtype"], "bf16");
    assert_eq!(report["model"], model.path());
}
