//! Measures the opening of a checkpoint of 200 shards and 100,000 tensors, of which only the
//! headers are read: `cargo run --release --example open_large`.
//!
//! The shards are sparse files of 1 GB each. Prints the time of opening and of resolving, and the
//! peak memory of the whole process, in which the making of the checkpoint is included.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use kv_scales::{Checkpoint, KvDtype, ResolveOptions, resolve};

const SHARDS: usize = 200;
const TENSORS: usize = 500;
const LAYERS: usize = 1000;
const SHARD_BYTES: u64 = 1_000_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::temp_dir().join(format!("open_large-{}", std::process::id()));
    std::fs::create_dir(&dir)?;
    let result = make(&dir).and_then(|()| measure(&dir));
    std::fs::remove_dir_all(&dir)?;
    result
}

fn make(dir: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let mut index = String::from("{\"weight_map\": {");
    for shard in 0..SHARDS {
        let file = format!("model-{:05}-of-{SHARDS:05}.safetensors", shard + 1);
        let mut header = String::from("{\"__metadata__\":{\"format\":\"pt\"}");
        let mut begin = 0;
        for tensor in 0..TENSORS {
            // 100 tensors a layer: two scales, and weights of which the last fills the shard.
            let (layer, i) = (shard * TENSORS / 100 + tensor / 100, tensor % 100);
            let (name, dtype, count) = match i {
                0 => ("self_attn.k_scale".to_owned(), "BF16", 1),
                1 => ("self_attn.v_scale".to_owned(), "BF16", 1),
                _ => (format!("mlp.experts.{i}.down_proj.weight"), "BF16", 1_000_000),
            };
            let end = if tensor + 1 == TENSORS { SHARD_BYTES } else { begin + 2 * count };
            let count = (end - begin) / 2;
            let name = format!("model.layers.{layer}.{name}");
            write!(
                header,
                ",\"{name}\":{{\"dtype\":\"{dtype}\",\"shape\":[{count}],\"data_offsets\":[{begin},{end}]}}"
            )?;
            let comma = if shard + tensor == 0 { "" } else { ", " };
            write!(index, "{comma}\"{name}\": \"{file}\"")?;
            begin = end;
        }
        header.push('}');
        let mut out = File::create(dir.join(file))?;
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        // The scales are the bf16 of 1.0, all else is a hole.
        let data = 8 + header.len() as u64;
        for layer in 0..TENSORS as u64 / 100 {
            std::os::unix::fs::FileExt::write_all_at(
                &out,
                &[0x80, 0x3f, 0x80, 0x3f],
                data + layer * (4 + 98 * 2_000_000),
            )?;
        }
        out.set_len(data + SHARD_BYTES)?;
    }
    index.push_str("}}");
    std::fs::write(dir.join("model.safetensors.index.json"), index)?;
    let config = format!(
        "{{\"num_hidden_layers\": {LAYERS}, \"num_attention_heads\": 8, \"dtype\": \"bfloat16\"}}"
    );
    std::fs::write(dir.join("config.json"), config)?;
    Ok(())
}

fn measure(dir: &Path) -> Result<(), Box<dyn std::error::Error>> {
    println!("peak memory before opening: {}", peak_memory()?);
    let start = Instant::now();
    let checkpoint = Checkpoint::open(dir)?;
    let opened = start.elapsed();
    assert_eq!((checkpoint.shards().len(), checkpoint.tensors().len()), (SHARDS, SHARDS * TENSORS));
    println!("opened {SHARDS} shards, {} tensors: {opened:.3?}", SHARDS * TENSORS);
    println!("peak memory after opening: {}", peak_memory()?);
    let start = Instant::now();
    let options = ResolveOptions { dtype: KvDtype::Fp8E4M3.into(), ..Default::default() };
    let scales = resolve(&checkpoint, &options)?;
    println!("resolved {} layers: {:.3?}", scales.layers().len(), start.elapsed());
    println!("peak memory after resolving: {}", peak_memory()?);
    Ok(())
}

fn peak_memory() -> std::io::Result<String> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    Ok(line.unwrap_or("unknown").trim().to_owned())
}
