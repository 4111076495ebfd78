//! `tokenizer.json` and its companions from the vocabulary inside a GGUF file.
//!
//! Built directly from the file's vocabulary and merges. transformers' own GGUF converter gets this
//! kind (`tokenizer.ggml.pre = "smollm"`) wrong: it leaves out the split into single digits, takes
//! a SentencePiece decoder, and makes `<|im_start|>` the end-of-text token.

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

use super::gguf::Gguf;

/// GGUF's token type for control tokens, which are matched before anything is split.
const CONTROL: i64 = 3;

/// The byte-level BPE tokenizer of a GGUF file, in the form of Hugging Face's `tokenizers`.
pub(crate) fn tokenizer_json(gguf: &Gguf<'_>) -> Result<Value> {
    let model = gguf.text("tokenizer.ggml.model")?;
    let pre = gguf.text("tokenizer.ggml.pre")?;
    ensure!(model == "gpt2" && pre == "smollm", "tokenizer {model:?} / {pre:?} is not supported");
    let tokens = gguf.texts("tokenizer.ggml.tokens")?;
    let types = gguf.ints("tokenizer.ggml.token_type")?;
    ensure!(tokens.len() == types.len(), "{} tokens, {} types", tokens.len(), types.len());

    let vocab: Map<String, Value> =
        tokens.iter().enumerate().map(|(id, token)| ((*token).to_owned(), id.into())).collect();
    ensure!(vocab.len() == tokens.len(), "a token comes twice");
    let mut merges = Vec::new();
    for merge in gguf.texts("tokenizer.ggml.merges")? {
        let (left, right) =
            merge.split_once(' ').with_context(|| format!("merge {merge:?} is no pair"))?;
        let joined = format!("{left}{right}");
        ensure!(vocab.contains_key(&joined), "merge {merge:?} makes no token of the vocabulary");
        merges.push(json!([left, right]));
    }
    let special: Vec<Value> = (0..tokens.len())
        .filter(|&id| types[id] == CONTROL)
        .map(|id| {
            json!({ "id": id, "content": tokens[id], "single_word": false, "lstrip": false,
                    "rstrip": false, "normalized": false, "special": true })
        })
        .collect();
    Ok(json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": special,
        "normalizer": null,
        "pre_tokenizer": { "type": "Sequence", "pretokenizers": [
            { "type": "Digits", "individual_digits": true },
            { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
              "use_regex": true },
        ] },
        "post_processor": null,
        "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true,
                     "use_regex": true },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": false, "vocab": vocab, "merges": merges,
        },
    }))
}

/// `tokenizer_config.json`.
pub(crate) fn tokenizer_config(gguf: &Gguf<'_>) -> Result<Value> {
    let tokens = gguf.texts("tokenizer.ggml.tokens")?;
    let named = |key: &str| -> Result<&str> {
        let id = gguf.int(key)?;
        tokens.get(id).copied().with_context(|| format!("{key} is {id}, beyond the vocabulary"))
    };
    Ok(json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_prefix_space": false,
        "clean_up_tokenization_spaces": false,
        "bos_token": named("tokenizer.ggml.bos_token_id")?,
        "eos_token": named("tokenizer.ggml.eos_token_id")?,
        "unk_token": named("tokenizer.ggml.unknown_token_id")?,
        "pad_token": named("tokenizer.ggml.padding_token_id")?,
        "model_max_length": gguf.int("llama.context_length")?,
        "chat_template": gguf.text("tokenizer.chat_template")?,
    }))
}
