//! `fp8kv capacity`: how many tokens fit into memory, per KV dtype.

use engine::cache::{CacheLayout, Capacity, CapacityReport};
use engine::config::ModelConfig;
use engine::llm::EngineConfig;
use kv_scales::{KvDtype, KvDtypes, ResolveOptions, resolve};
use serde::Serialize;

use crate::args::ModelArgs;
use crate::bytes::{ByteSize, readable};
use crate::failure::Failure;
use crate::output;
use crate::table::{Align, Table};

/// Show how many tokens and requests a KV cache of some size holds, per dtype.
#[derive(clap::Args)]
#[command(args_override_self = true)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Memory for the KV cache: 8GiB, 512MiB, 1.5GB, or a number of bytes
    #[arg(long, value_name = "SIZE")]
    memory: ByteSize,
    /// Tokens per request [default: the longest the model was made for]
    #[arg(long, value_name = "N")]
    max_model_len: Option<usize>,
    /// A dtype to compute for, instead of all; may be given several times
    #[arg(long, value_name = "DTYPE")]
    kv_cache_dtype: Vec<String>,
    /// Tokens per block: a power of two, 8 to 256
    #[arg(long, value_name = "N", default_value_t = 16)]
    block_size: usize,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// What the table shows when nothing is asked for.
const SHOWN: [KvDtype; 8] = [
    KvDtype::F32,
    KvDtype::F16,
    KvDtype::Bf16,
    KvDtype::Fp8E4M3,
    KvDtype::Fp8E5M2,
    KvDtype::Int8,
    KvDtype::Fp8PerTokenHead,
    KvDtype::Int8PerTokenHead,
];

#[derive(Serialize)]
struct Report {
    model: String,
    memory_bytes: u64,
    block_size: usize,
    max_model_len: usize,
    results: Vec<CapacityReport>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let checkpoint = args.model.open()?;
    let config = checkpoint.config().ok_or(engine::Error::NoConfig)?;
    let config = ModelConfig::from_json(config, None)?;
    let max_model_len = args.max_model_len.unwrap_or(config.max_position_embeddings);
    EngineConfig { block_size: args.block_size, ..EngineConfig::default() }.validate()?;
    if max_model_len == 0 || max_model_len > config.max_position_embeddings {
        return Err(Failure::MaxModelLen {
            len: max_model_len,
            limit: config.max_position_embeddings,
        });
    }
    let mut dtypes: Vec<KvDtypes> = Vec::new();
    for name in &args.kv_cache_dtype {
        dtypes.push(args.model.dtypes(Some(name))?);
    }
    if dtypes.is_empty() {
        dtypes.extend(SHOWN.map(KvDtypes::from));
    }
    let mut results = Vec::new();
    for dtype in dtypes {
        // Only the storage matters here: lenient, so that a scale's trouble is `inspect`'s to tell.
        let options = ResolveOptions { dtype, strict: false, ..ResolveOptions::default() };
        let scales = resolve(&checkpoint, &options)?;
        let layout = CacheLayout::resolved(&config, args.block_size, &scales)?;
        let capacity = Capacity::new(&layout, args.memory.0, max_model_len)?;
        results.push(capacity.report(scales.dtypes().to_string()));
    }
    let report = Report {
        model: args.model.name(),
        memory_bytes: args.memory.0,
        block_size: args.block_size,
        max_model_len,
        results,
    };
    if args.json { output::print_json(&report) } else { output::print(&text(&report)) }
}

fn text(report: &Report) -> String {
    let concurrency = format!("requests of {} tokens", report.max_model_len);
    let mut table = Table::new(&[
        ("KV cache", Align::Left),
        ("bytes/token", Align::Right),
        ("blocks", Align::Right),
        ("tokens", Align::Right),
        (&concurrency, Align::Right),
    ]);
    for result in &report.results {
        table.row([
            result.kv_cache_dtype.clone(),
            result.bytes_per_token.to_string(),
            result.blocks.to_string(),
            result.tokens.to_string(),
            format!("{:.2}", result.max_concurrency),
        ]);
    }
    let memory = readable(report.memory_bytes);
    let (model, size) = (&report.model, report.block_size);
    format!("{model}, {memory} for the KV cache in blocks of {size} tokens\n\n{}", table.render())
}
