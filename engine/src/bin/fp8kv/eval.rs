//! `fp8kv eval`: what a KV dtype costs in accuracy.

use std::path::{Path, PathBuf};
use std::time::Instant;

use attn_kernels::AttnMath;
use engine::device::DeviceReport;
use engine::eval::{self, Metrics};
use engine::llm::{Llm, Scored};
use fp8_format::ElementType::F32;
use kv_scales::{Checkpoint, KvDtype, KvDtypes, resolve};
use serde::Serialize;

use crate::args::{EngineArgs, ModelArgs};
use crate::failure::Failure;
use crate::output;
use crate::progress::Progress;
use crate::table::{Align, Table};

/// Measure perplexity per KV dtype and set of scales, and the distance from an f32 cache.
///
/// On a CUDA device, which stores no f32, the distance is from an f16 cache on that device. A text is scored in windows of 512 tokens, without BOS; a last window that is not full is
/// dropped. Scores go through the paged cache and the attention that `generate` uses.
#[derive(clap::Args)]
#[command(args_override_self = true)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    input: Input,
    /// A dtype to measure: a name, or `k=NAME,v=NAME`; may be given several times [default: `fp8`
    /// for the embedded model, else `auto`]
    #[arg(long, value_name = "DTYPE")]
    kv_cache_dtype: Vec<String>,
    /// A checkpoint whose KV scales to measure, as what they are for, with the model's weights; may
    /// be given several times
    #[arg(long, value_name = "DIR")]
    scales: Vec<PathBuf>,
    #[command(flatten)]
    engine: EngineArgs,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Input {
    /// A text file (UTF-8)
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// Token ids: a JSON array of arrays, each one sequence
    #[arg(long, value_name = "FILE")]
    ids: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report {
    model: String,
    tokens: usize,
    /// Of the results; the baseline's is the default.
    attn_math: &'static str,
    results: Vec<Measured>,
    /// The cache that the others are compared with: f32, and on a CUDA device f16.
    baseline: Measured,
    device: DeviceReport,
}

#[derive(Serialize, Clone)]
struct Measured {
    kv_cache_dtype: String,
    scales: &'static str,
    /// The checkpoint that the scales are of, where it is not the model's own.
    scale_set: Option<String>,
    perplexity: f64,
    nll: f64,
    mean_abs_dlogp: f64,
    argmax_agreement: f64,
    seconds: f64,
}

/// A dtype that was asked for, and what it means for this checkpoint.
struct Planned {
    dtypes: KvDtypes,
    name: String,
    scales: &'static str,
    set: Option<(String, Checkpoint)>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    // What can be refused is refused before the first sequence is scored.
    let checkpoint = args.model.open()?;
    let plan = |name: Option<&str>| plan(args, &checkpoint, args.model.dtypes(name)?);
    let mut asked =
        args.kv_cache_dtype.iter().map(|n| plan(Some(n))).collect::<Result<Vec<_>, _>>()?;
    if asked.is_empty() && args.scales.is_empty() {
        asked.push(plan(None)?);
    }
    for dir in &args.scales {
        asked.push(plan_set(args, dir)?);
    }
    let widest = args.engine.device()?.widest_kv();
    let exact = plan(Some(widest.name()))?;
    if asked.iter().any(|planned| planned.name == exact.name) {
        args.engine.attn_math().check(widest, widest).map_err(engine::Error::from)?;
    }
    let mut llm = args.engine.load_with(&args.model, exact.dtypes, AttnMath::Default)?;
    let device = llm.device().clone();
    let sequences = sequences(&args.input, &llm)?;

    let others = asked.iter().filter(|planned| planned.name != exact.name).count();
    let mut progress = Progress::new((sequences.len() * (1 + others)) as u64, &exact.name);
    let (reference, seconds) = score(&mut llm, &sequences, &mut progress)?;
    let baseline = exact.measured(eval::compare(&reference, &reference)?, seconds);
    let mut results = Vec::new();
    for planned in &asked {
        if planned.name == exact.name {
            results.push(baseline.clone());
            continue;
        }
        // One engine at a time: a cache can be large.
        llm = match &planned.set {
            Some((_, scales)) => args.engine.load_with_scales(&args.model, scales)?,
            None => args.engine.load(&args.model, planned.dtypes)?,
        };
        progress.say(&planned.name);
        let (scored, seconds) = score(&mut llm, &sequences, &mut progress)?;
        results.push(planned.measured(eval::compare(&scored, &reference)?, seconds));
    }
    drop(progress);
    let tokens = sequences.iter().map(Vec::len).sum();
    let attn_math = args.engine.attn_math().name();
    let model = args.model.name();
    let report = Report { model, tokens, attn_math, results, baseline, device };
    if args.json { output::print_json(&report) } else { output::print(&text(&report)) }
}

fn plan(args: &Args, checkpoint: &Checkpoint, dtypes: KvDtypes) -> Result<Planned, Failure> {
    let resolved = resolve(checkpoint, &args.engine.resolve_options(dtypes))?;
    let device = args.engine.device()?;
    let stored = resolved.layers().iter().filter_map(|l| resolved.element_types(l.layer, F32));
    for stored in stored.flat_map(|(k, v)| [k, v]) {
        device.check_storage(stored)?;
    }
    let (name, scales) = (resolved.dtypes().to_string(), resolved.source());
    Ok(Planned { dtypes, name, scales, set: None })
}

/// Another checkpoint's scales, as what its config asks for.
fn plan_set(args: &Args, dir: &Path) -> Result<Planned, Failure> {
    let set = Checkpoint::open(dir)?;
    let planned = plan(args, &set, KvDtype::Auto.into())?;
    if planned.scales == "none" {
        let reason = "its config asks for no quantized KV cache".to_owned();
        return Err(Failure::Content { path: dir.into(), reason });
    }
    Ok(Planned { set: Some((dir.display().to_string(), set)), ..planned })
}

impl Planned {
    fn measured(&self, metrics: Metrics, seconds: f64) -> Measured {
        Measured {
            kv_cache_dtype: self.name.clone(),
            scales: self.scales,
            scale_set: self.set.as_ref().map(|(name, _)| name.clone()),
            perplexity: metrics.perplexity,
            nll: metrics.nll,
            mean_abs_dlogp: metrics.mean_abs_dlogp,
            argmax_agreement: metrics.argmax_agreement,
            seconds,
        }
    }
}

fn sequences(input: &Input, llm: &Llm) -> Result<Vec<Vec<u32>>, Failure> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|source| Failure::File { path: path.into(), source })
    };
    let content = |path: &Path, reason: String| Failure::Content { path: path.into(), reason };
    if let Some(path) = &input.ids {
        return eval::sequences(&read(path)?).map_err(|e| content(path, e.to_string()));
    }
    let Some(path) = &input.text else { unreachable!("clap asks for --text or --ids") };
    let text = String::from_utf8(read(path)?).map_err(|e| content(path, e.to_string()))?;
    let tokenizer = llm
        .tokenizer()
        .ok_or(Failure::ModelLacks { what: "tokenizer.json", needed_by: "--text" })?;
    eval::windows(tokenizer, &text).map_err(|e| content(path, e.to_string()))
}

fn score(
    llm: &mut Llm,
    sequences: &[Vec<u32>],
    progress: &mut Progress,
) -> Result<(Vec<Scored>, f64), Failure> {
    let start = Instant::now();
    let mut scored = Vec::with_capacity(sequences.len());
    for ids in sequences {
        scored.push(llm.score(ids)?);
        progress.step();
    }
    Ok((scored, start.elapsed().as_secs_f64()))
}

fn text(report: &Report) -> String {
    let mut table = Table::new(&[
        ("KV cache", Align::Left),
        ("scales", Align::Left),
        ("perplexity", Align::Right),
        ("nll", Align::Right),
        ("mean |dlogp|", Align::Right),
        ("argmax agrees", Align::Right),
        ("seconds", Align::Right),
    ]);
    let mut row = |m: &Measured| {
        table.row([
            m.kv_cache_dtype.clone(),
            m.scale_set.clone().unwrap_or_else(|| m.scales.to_owned()),
            format!("{:.4}", m.perplexity),
            format!("{:.5}", m.nll),
            format!("{:.5}", m.mean_abs_dlogp),
            format!("{:.2}%", 100.0 * m.argmax_agreement),
            format!("{:.2}", m.seconds),
        ]);
    };
    row(&report.baseline);
    let baseline = &report.baseline.kv_cache_dtype;
    report.results.iter().filter(|m| m.kv_cache_dtype != *baseline).for_each(row);
    let Report { model, tokens, device, .. } = report;
    format!("{model}, {tokens} tokens, on {device}\n\n{}", table.render())
}
