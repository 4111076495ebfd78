//! `fp8kv inspect`: a checkpoint's KV scales as they will be used, and where each came from.

use kv_scales::{Platform, ResolveOptions, ResolvedScales, Scale, resolve};
use serde::Serialize;

use crate::args::{CalculateArgs, ModelArgs, ScaleArgs};
use crate::failure::Failure;
use crate::output;
use crate::table::{Align, Table};

/// Show the KV scales of a checkpoint, per layer, with provenance and warnings.
///
/// Reads headers only, unless scales are to be calculated. Fails, unless --lenient, if a scale in the checkpoint would be dropped.
#[derive(clap::Args)]
#[command(args_override_self = true)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// What K and V are stored as: a name, or `k=NAME,v=NAME` [default: `fp8` for the embedded
    /// model, else `auto`]
    #[arg(long, value_name = "DTYPE")]
    kv_cache_dtype: Option<String>,
    /// Which FP8 formats the hardware computes in: `ocp` or `fnuz`
    #[arg(long, value_name = "PLATFORM", default_value = "ocp")]
    platform: String,
    #[command(flatten)]
    calculate: CalculateArgs,
    #[command(flatten)]
    scales: ScaleArgs,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    model: String,
    kv_cache_dtype: String,
    /// Of dtypes, platform and scales: caches with another one cannot share blocks.
    fingerprint: String,
    layers: Vec<Layer<'a>>,
    warnings: Vec<Warning<'a>>,
}

#[derive(Serialize)]
struct Layer<'a> {
    layer: usize,
    q: Entry<'a>,
    k: Entry<'a>,
    v: Entry<'a>,
    prob: Entry<'a>,
}

#[derive(Serialize)]
struct Entry<'a> {
    granularity: &'static str,
    value: &'a [f32],
    origin: &'static str,
    tensor: Option<&'a str>,
}

#[derive(Serialize)]
struct Warning<'a> {
    code: &'static str,
    message: &'a str,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let platform: Platform = args.platform.parse()?;
    let dtype = args.model.dtypes(args.kv_cache_dtype.as_deref())?;
    let checkpoint = args.model.open()?;
    let scales = match (args.calculate.calculate_kv_scales, platform) {
        (true, Platform::Ocp) => args.calculate.scales(&checkpoint, dtype, &args.scales)?,
        (true, Platform::Fnuz) => return Err(Failure::CalculateOnFnuz),
        (false, _) => {
            resolve(&checkpoint, &ResolveOptions { platform, ..args.scales.options(dtype) })?
        }
    };
    let report = report(args.model.name(), &scales);
    if args.json { output::print_json(&report) } else { output::print(&text(&report)) }
}

fn report(model: String, scales: &ResolvedScales) -> Report<'_> {
    let layers = scales.layers().iter();
    let warnings = scales.warnings().iter();
    Report {
        model,
        kv_cache_dtype: scales.dtypes().to_string(),
        fingerprint: output::hex(&scales.fingerprint()),
        layers: layers
            .map(|scales| Layer {
                layer: scales.layer,
                q: entry(&scales.q),
                k: entry(&scales.k),
                v: entry(&scales.v),
                prob: entry(&scales.prob),
            })
            .collect(),
        warnings: warnings.map(|w| Warning { code: w.code.name(), message: &w.message }).collect(),
    }
}

fn entry(scale: &Scale) -> Entry<'_> {
    Entry {
        granularity: scale.value.granularity(),
        value: scale.value.values(),
        origin: scale.origin.name(),
        tensor: scale.origin.tensor(),
    }
}

fn text(report: &Report<'_>) -> String {
    let mut table = Table::new(&[
        ("layer", Align::Right),
        ("scale", Align::Left),
        ("granularity", Align::Left),
        ("value", Align::Left),
        ("origin", Align::Left),
        ("tensor", Align::Left),
    ]);
    for layer in &report.layers {
        let entries = [("k", &layer.k), ("v", &layer.v), ("q", &layer.q), ("prob", &layer.prob)];
        for (i, (name, entry)) in entries.into_iter().enumerate() {
            let number = if i == 0 { layer.layer.to_string() } else { String::new() };
            table.row([
                number,
                name.to_owned(),
                entry.granularity.to_owned(),
                value(entry.value),
                entry.origin.to_owned(),
                entry.tensor.unwrap_or("-").to_owned(),
            ]);
        }
    }
    let mut text = format!(
        "{}: KV cache {}, {} layers\n\n{}",
        report.model,
        report.kv_cache_dtype,
        report.layers.len(),
        table.render()
    );
    for warning in &report.warnings {
        text.push_str(&format!("\nwarning: {} [{}]", warning.message, warning.code));
    }
    if !report.warnings.is_empty() {
        text.push('\n');
    }
    text
}

/// One value as it is; of several the range.
fn value(values: &[f32]) -> String {
    match values {
        [] => "-".to_owned(),
        [one] => one.to_string(),
        many => {
            let min = many.iter().copied().fold(f32::INFINITY, f32::min);
            let max = many.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            format!("{} values, {min} to {max}", many.len())
        }
    }
}
