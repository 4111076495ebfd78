//! What every way of choosing scales costs on text that it has not seen.

use crate::sets::{Bench, Place, Text, calibrated, load, passages};
use crate::{Context, Failure, Report, WINDOW};
use engine::calibrate::Calibrator;
use engine::eval::Metrics;
use kv_scales::Checkpoint;
use kv_scales::scheme::Strategy;
use std::collections::BTreeMap;

const METHODS: [&str; 7] = [
    "absmax",
    "minmax",
    "percentile:99.99",
    "percentile:99.9",
    "mse",
    "attention",
    "k=attention,v=mse",
];

const STRATEGIES: [(&str, Strategy); 2] =
    [("tensor", Strategy::Tensor), ("attn_head", Strategy::AttnHead)];

/// What a row says of the text that was calibrated on.
fn suffix(text: Text) -> &'static str {
    match text {
        Text::FourKinds => "",
        Text::OneDocument => ", one document",
    }
}

pub(crate) fn check(context: &Context, report: &mut Report) -> Result<(), Failure> {
    let weights = context.model.weights()?;
    let bench = Bench::new(passages(context)?, &weights)?;
    let place = Place::new(&context.model)?;
    let names: Vec<&str> = bench.passages.iter().map(|(name, _)| name.as_str()).collect();
    println!(
        "| KV cache | scales | perplexity | argmax agrees | mean &#124;Δ logprob&#124; | {} |",
        names.join(" | ")
    );
    println!("|---|---|---|---|---|{}", "---|".repeat(names.len()));
    for (dtype, scales) in [
        ("f32", None),
        ("bf16", None),
        ("fp8_e4m3", None),
        ("fp8_e5m2", None),
        ("fp8_e4m3", Some("compressed_tensors_tensor")),
        ("fp8_e4m3", Some("compressed_tensors_attn_head")),
        ("int8", Some("compressed_tensors_tensor")),
        ("int8", Some("compressed_tensors_attn_head")),
    ] {
        let set = match scales {
            Some(name) => context.model.checkpoint(&context.reference.scales(name))?,
            None => Checkpoint::open(context.model.dir())?,
        };
        let mut llm = load(&weights, &set, dtype.parse()?)?;
        row(dtype, scales.unwrap_or("1.0"), &bench.measure(&mut llm)?);
    }
    let mut found = BTreeMap::new();
    for text in [Text::FourKinds, Text::OneDocument] {
        let mut calibrator = Calibrator::new(&weights, WINDOW, true, None)?;
        for sample in text.samples(context)? {
            calibrator.sample(&sample)?;
        }
        for dtype in ["fp8_e4m3", "int8", "fp8_e5m2", "fp8_e4m3fnuz", "k=fp8_e5m2,v=fp8_e4m3"] {
            // One document, and the formats that are not the issue, get fewer.
            let methods: &[&str] = match (text, dtype) {
                (Text::FourKinds, "fp8_e4m3" | "int8") => &METHODS,
                (Text::OneDocument, "fp8_e4m3" | "int8") => &["absmax", "mse", "attention"],
                (Text::FourKinds, _) => &["absmax", "mse"],
                (Text::OneDocument, _) => &[],
            };
            for (name, strategy) in STRATEGIES {
                for methods in methods {
                    let mut llm =
                        calibrated(&calibrator, &weights, dtype, strategy, methods, &place.0)?;
                    let metrics = bench.measure(&mut llm)?;
                    row(dtype, &format!("{methods}, {name}{}", suffix(text)), &metrics);
                    let distances = metrics.iter().map(|m| m.mean_abs_dlogp).collect();
                    found.insert((suffix(text), dtype, name, *methods), distances);
                }
            }
        }
    }
    // One side at 16 bits.
    for dtype in ["k=bf16,v=fp8_e4m3", "k=fp8_e4m3,v=bf16"] {
        let set =
            context.model.checkpoint(&context.reference.scales("compressed_tensors_tensor"))?;
        let mut llm = load(&weights, &set, dtype.parse()?)?;
        row(dtype, "compressed_tensors_tensor", &bench.measure(&mut llm)?);
    }
    println!();
    judge(&found, report);
    Ok(())
}

fn row(dtype: &str, scales: &str, metrics: &[Metrics]) {
    let Some((all, each)) = metrics.split_last() else { return };
    let each: Vec<String> = each.iter().map(|m| format!("{:.4}", m.mean_abs_dlogp)).collect();
    println!(
        "| {dtype} | {scales} | {:.4} | {:.2}% | **{:.4}** | {} |",
        all.perplexity,
        100.0 * all.argmax_agreement,
        all.mean_abs_dlogp,
        each.join(" | ")
    );
}

/// By text, dtype, granularity and observer: mean |Δ logprob| of each passage, and last of all.
type Found<'a> = BTreeMap<(&'a str, &'a str, &'a str, &'a str), Vec<f64>>;

/// What must hold whatever the table shows, for scales of four kinds of text; for those of one
/// document the same is only said. Which of two sets is better is a matter of rounding noise once
/// they are near: the standard error of the passages' differences is shown, not allowed for.
fn judge(found: &Found<'_>, report: &mut Report) {
    for text in [Text::FourKinds, Text::OneDocument] {
        let mut say = |what: String, holds: bool| match text {
            Text::FourKinds => report.holds(&what, holds),
            Text::OneDocument => println!("       {what}: {}", if holds { "yes" } else { "no" }),
        };
        let of = |dtype, strategy, methods| {
            let key = (suffix(text), dtype, strategy, methods);
            found.get(&key).cloned().unwrap_or_default()
        };
        let mut compare = |what: &str, a: Vec<f64>, b: Vec<f64>, limit: f64| {
            let Pair { ratio, difference, error } = Pair::of(&a, &b);
            say(
                format!(
                    "{what}{}: ratio {ratio:.3} (limit {limit}); difference {difference:.4} ± \
                     {error:.4}",
                    suffix(text)
                ),
                ratio <= limit,
            );
        };
        for (strategy, _) in STRATEGIES {
            for methods in ["mse", "attention"] {
                let (ours, absmax) =
                    (of("fp8_e4m3", strategy, methods), of("fp8_e4m3", strategy, "absmax"));
                compare(&format!("fp8_e4m3, {strategy}: {methods} / absmax"), ours, absmax, 1.0);
            }
            let best = ["mse", "attention"].map(|methods| of("int8", strategy, methods));
            let all = |each: &Vec<f64>| each.last().copied().unwrap_or(f64::NAN);
            let [mse, attention] = best;
            let best = if all(&mse) <= all(&attention) { mse } else { attention };
            let absmax = of("int8", strategy, "absmax");
            compare(&format!("int8, {strategy}: mse or attention / absmax"), best, absmax, 0.9);
        }
        for dtype in ["int8", "fp8_e4m3"] {
            for methods in ["mse", "attention"] {
                let (head, tensor) =
                    (of(dtype, "attn_head", methods), of(dtype, "tensor", methods));
                compare(&format!("{dtype}, {methods}: per head / per tensor"), head, tensor, 1.0);
            }
        }
    }
}

/// Two sets of scales on the same passages.
struct Pair {
    /// Of the means over all passages.
    ratio: f64,
    /// Of the passages' means, with its standard error.
    difference: f64,
    error: f64,
}

impl Pair {
    /// NaN when there is nothing to compare, which no limit allows.
    fn of(a: &[f64], b: &[f64]) -> Self {
        let (Some((a_all, a)), Some((b_all, b))) = (a.split_last(), b.split_last()) else {
            return Self { ratio: f64::NAN, difference: f64::NAN, error: f64::NAN };
        };
        let count = a.len() as f64;
        let off: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        let difference = off.iter().sum::<f64>() / count;
        let squares = off.iter().map(|d| (d - difference).powi(2)).sum::<f64>();
        let error = (squares / (count - 1.0) / count).sqrt();
        Self { ratio: a_all / b_all, difference, error }
    }
}
