//! `fp8kv calibrate`: finds the scales of a KV cache on a text, and writes a checkpoint with them.

mod report;

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use engine::calibrate::{Calibration, Calibrator, ChatSamples, Methods, Target, TextSamples};
use engine::chat::ChatTemplate;
use engine::device::DeviceReport;
use engine::eval;
use engine::tokenizer::Tokenizer;
use kv_scales::scheme::Strategy;
use kv_scales::writer::{Written, check_target, write_checkpoint};
use kv_scales::{Checkpoint, KvDtypes};
use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::args::{DeviceArgs, ModelArgs};
use crate::failure::Failure;
use crate::output;
use crate::progress::Progress;
use report::ReportFile;

/// Find the scales of a KV cache on a text, and write a checkpoint that has them.
///
/// The samples run through the model with an f32 cache, on a CUDA device with an f16 cache. The new checkpoint shares the weights of
/// the old one (hard links, where the file system can) and is read alike by llm-compressor, vLLM and
/// transformers. It appears whole or, if anything goes wrong, not at all.
#[derive(clap::Args)]
#[command(args_override_self = true)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    input: Input,
    /// What K and V will be stored as: fp8_e4m3, fp8_e5m2, their fnuz variants, int8, or
    /// `k=NAME,v=NAME`
    #[arg(long, value_name = "DTYPE", default_value = "fp8")]
    kv_cache_dtype: String,
    /// One scale per tensor, or one per head: `tensor` or `attn_head`
    #[arg(long, value_name = "STRATEGY", default_value = "tensor", value_parser = strategy)]
    strategy: Strategy,
    /// How scales are chosen: absmax, minmax, percentile or percentile:P, mse, attention; or
    /// `k=NAME,v=NAME[,q=NAME]`
    #[arg(long, value_name = "OBSERVER", default_value = "mse")]
    observer: String,
    /// Samples to run, the first of the input
    #[arg(long, value_name = "N", default_value_t = 128)]
    samples: usize,
    /// Tokens of a sample: a text is cut into windows of this length, conversations are cut off
    #[arg(long, value_name = "N", default_value_t = 512)]
    max_seq_len: usize,
    /// Write no scales for Q
    #[arg(long)]
    no_q: bool,
    /// The checkpoint to write; must not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A report by layer and head: FILE.txt, FILE.json, or FILE.svg for a heat map; may be given
    /// several times
    #[arg(long, value_name = "FILE")]
    report: Vec<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Threads [default: one per core]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
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
    /// A file with one JSON object per line: `messages`, which go through the chat template, or
    /// `text`
    #[arg(long, value_name = "FILE")]
    jsonl: Option<PathBuf>,
    /// Token ids: a JSON array of arrays, each one sample
    #[arg(long, value_name = "FILE")]
    ids: Option<PathBuf>,
}

/// What is printed.
#[derive(Serialize)]
struct Summary {
    model: String,
    out: PathBuf,
    files: Files,
    forward_seconds: f64,
    scales_seconds: f64,
    device: DeviceReport,
    #[serde(flatten)]
    report: engine::calibrate::Report,
}

#[derive(Serialize)]
struct Files {
    linked: Vec<String>,
    copied: Vec<String>,
    written: Vec<String>,
    left_out: Vec<String>,
}

type Samples<'a> = Box<dyn Iterator<Item = Result<Vec<u32>, engine::Error>> + 'a>;

fn strategy(name: &str) -> Result<Strategy, String> {
    match name {
        "tensor" => Ok(Strategy::Tensor),
        "attn_head" => Ok(Strategy::AttnHead),
        _ => Err("valid are tensor, attn_head".to_owned()),
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    // What can be refused is refused before the first sample.
    let dtypes: KvDtypes = args.kv_cache_dtype.parse()?;
    let methods: Methods = args.observer.parse()?;
    let target = Target { dtypes, strategy: args.strategy, methods, q: !args.no_q };
    target.formats()?;
    if args.samples == 0 {
        let message = "samples is 0, must be at least 1".to_owned();
        return Err(engine::Error::Calibration { message }.into());
    }
    let reports: Vec<ReportFile<'_>> =
        args.report.iter().map(|path| ReportFile::new(path)).collect::<Result<_, _>>()?;
    let checkpoint = args.model.open()?;
    check_target(&checkpoint, dtypes, &args.out)?;
    let keep = methods.use_attention();
    let (device, length) = (args.device.device()?, args.max_seq_len);
    let mut calibrator = Calibrator::on(device, &checkpoint, length, keep, args.threads)?;
    let (path, samples) = samples(args, &checkpoint)?;
    let at = |error: engine::Error| match error {
        engine::Error::Calibration { message } => {
            Failure::Content { path: path.into(), reason: message }
        }
        other => other.into(),
    };

    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(Failure::Output)?;
    }
    let stopped = || stop.load(Ordering::Relaxed);
    let start = Instant::now();
    let total = args.samples.saturating_mul(args.max_seq_len) as u64;
    let mut progress = Progress::of_tokens(total, "calibrating");
    for sample in samples.take(args.samples) {
        if stopped() {
            return Err(engine::Error::Interrupted.into());
        }
        let ids = sample.map_err(at)?;
        calibrator.sample(&ids).map_err(at)?;
        progress.advance(ids.len() as u64);
        // Conversations can be shorter than a window: those to come are taken to be as those before.
        let (seen, tokens) = calibrator.seen();
        progress.expect((tokens / seen.max(1) as u64).saturating_mul(args.samples as u64));
    }
    drop(progress);
    let forward_seconds = start.elapsed().as_secs_f64();
    let (seen, tokens) = calibrator.seen();
    if seen < args.samples {
        let asked = args.samples;
        output::note(&format!("note: {seen} samples, all there are; {asked} were asked for"));
    }

    let start = Instant::now();
    let mut progress = Progress::new(calibrator.config().num_layers as u64, "finding scales");
    let Calibration { scales, report } = calibrator.finish(&target, &mut |_| {
        progress.step();
        !stopped()
    })?;
    drop(progress);
    let scales_seconds = start.elapsed().as_secs_f64();
    let device = calibrator.device().clone();
    drop(calibrator);
    if stopped() {
        return Err(engine::Error::Interrupted.into());
    }

    let Written { linked, copied, written, left_out } =
        write_checkpoint(&checkpoint, &scales, &args.out)?;
    for file in &reports {
        file.write(&report)?;
    }
    output::note(&format!(
        "{seen} samples, {tokens} tokens in {forward_seconds:.1} s ({:.0} tokens/s), scales in \
         {scales_seconds:.1} s",
        tokens as f64 / forward_seconds
    ));
    if !args.json {
        return output::print(&report::summary(&report, &args.out));
    }
    output::print_json(&Summary {
        model: args.model.name(),
        out: args.out.clone(),
        files: Files { linked, copied, written, left_out },
        forward_seconds,
        scales_seconds,
        device,
        report,
    })
}

/// The samples of whichever input was given, with the file they come from.
fn samples<'a>(
    args: &'a Args,
    checkpoint: &Checkpoint,
) -> Result<(&'a Path, Samples<'a>), Failure> {
    let open = |path: &Path| {
        let file =
            File::open(path).map_err(|source| Failure::File { path: path.into(), source })?;
        Ok::<_, Failure>(BufReader::new(file))
    };
    let tokenizer = |needed_by| {
        Tokenizer::from_checkpoint(checkpoint)?
            .ok_or(Failure::ModelLacks { what: "tokenizer.json", needed_by })
    };
    let length = args.max_seq_len;
    match &args.input {
        Input { text: Some(path), .. } => {
            let samples = TextSamples::new(open(path)?, tokenizer("--text")?, length);
            Ok((path, Box::new(samples)))
        }
        Input { jsonl: Some(path), .. } => {
            let template = ChatTemplate::from_checkpoint(checkpoint)?;
            let samples = ChatSamples::new(open(path)?, tokenizer("--jsonl")?, template, length);
            Ok((path, Box::new(samples)))
        }
        Input { ids: Some(path), .. } => {
            let bytes = std::fs::read(path)
                .map_err(|source| Failure::File { path: path.clone(), source })?;
            let content =
                |e: engine::Error| Failure::Content { path: path.clone(), reason: e.to_string() };
            let sequences = eval::sequences(&bytes).map_err(content)?;
            Ok((path, Box::new(sequences.into_iter().map(Ok))))
        }
        _ => unreachable!("clap asks for --text, --jsonl or --ids"),
    }
}
