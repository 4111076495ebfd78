//! What a byte buys: cache bytes per token and tokens per GiB, per KV dtype.

use attn_kernels::{Backend, CacheShape, CpuBackend};
use fp8_format::ElementType;
use serde_json::{Value, json};

use crate::Options;
use crate::model;
use crate::report::{Failure, Report, Table, count};

const GIB: u64 = 1 << 30;
const BLOCK: usize = 16;

/// A model's cache: layers, KV heads, head_dim.
struct Model {
    name: String,
    layers: usize,
    kv_heads: usize,
    head_dim: usize,
}

pub(crate) fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let llm = model::load(options, "f32")?;
    let config = llm.config();
    let models = [
        Model {
            name: llm.name().to_owned(),
            layers: config.num_layers,
            kv_heads: config.num_kv_heads,
            head_dim: config.head_dim,
        },
        Model { name: "an 8B Llama 3".to_owned(), layers: 32, kv_heads: 8, head_dim: 128 },
    ];
    report.heading("KV cache size");
    let mut header = vec!["KV dtype".to_owned()];
    for model in &models {
        header.push(format!("{}: bytes/token", model.name));
        header.push("tokens/GiB".to_owned());
    }
    let mut table = Table::new(&header.iter().map(String::as_str).collect::<Vec<_>>());
    let mut json = Vec::new();
    for stored in [ElementType::F32, ElementType::Bf16, ElementType::F8E4M3] {
        let mut cells = vec![match stored {
            ElementType::F32 => "f32".to_owned(),
            ElementType::Bf16 => "bf16, f16".to_owned(),
            _ => "fp8, int8".to_owned(),
        }];
        for model in &models {
            let bytes = bytes_per_token(model, stored)?;
            cells.extend([count(bytes), count(GIB / bytes)]);
            json.push(json!({ "model": model.name, "kv_cache_dtype": stored.name(),
                              "bytes_per_token": bytes, "tokens_per_gib": GIB / bytes }));
        }
        table.row(cells);
    }
    report.table(&table);
    report.note("  counted on the buffers that the CPU backend allocates for one block");
    report.add("capacity", Value::Array(json));
    Ok(())
}

/// Counted on real buffers, not worked out: two blocks of one layer.
fn bytes_per_token(model: &Model, stored: ElementType) -> Result<u64, Failure> {
    let shape = CacheShape::new(2, BLOCK, model.kv_heads, model.head_dim, stored, stored);
    let cache = CpuBackend::new().new_cache(shape)?;
    let bytes = cache.k().bytes().len() + cache.v().bytes().len();
    Ok((bytes / (2 * BLOCK) * model.layers) as u64)
}
