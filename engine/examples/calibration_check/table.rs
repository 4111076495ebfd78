//! What every way of choosing scales costs on text that it has not seen.

use crate::sets::{Bench, Place, calibrated, load, passages};
use crate::{Context, Failure, Report, WINDOW};
use engine::calibrate::Calibrator;
use engine::eval::Metrics;
use kv_scales::Checkpoint;
use kv_scales::scheme::Strategy;
use std::collections::BTreeMap;

/// Calibration samples: what llm-compressor's reference used.
const SAMPLES: usize = 64;

const METHODS: [&str; 7] = [
    "absmax",
    "minmax",
    "percentile:99.99",
    "percentile:99.9",
    "mse",
    "attention",
    "k=attention,v=mse",
];

pub(crate) fn check(context: &Context, report: &mut Report) -> Result<(), Failure> {
    let weights = context.model.weights()?;
    let mut calibrator = Calibrator::new(&weights, WINDOW, true, None)?;
    for row in context.rows.iter().take(SAMPLES) {
        calibrator.sample(row)?;
    }
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
    for dtype in ["fp8_e4m3", "int8", "fp8_e5m2", "fp8_e4m3fnuz", "k=fp8_e5m2,v=fp8_e4m3"] {
        for (name, strategy) in [("tensor", Strategy::Tensor), ("attn_head", Strategy::AttnHead)] {
            for methods in METHODS {
                // The formats that are not the issue get the two ends only.
                let main = ["fp8_e4m3", "int8"].contains(&dtype);
                if !main && !["absmax", "mse"].contains(&methods) {
                    continue;
                }
                let mut llm =
                    calibrated(&calibrator, &weights, dtype, strategy, methods, &place.0)?;
                let metrics = bench.measure(&mut llm)?;
                row(dtype, &format!("{methods}, {name}"), &metrics);
                let distances = metrics.iter().map(|m| m.mean_abs_dlogp).collect();
                found.insert((dtype, name, methods), distances);
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

/// By dtype, granularity and observer: mean |Δ logprob| of each passage, and last of all.
type Found<'a> = BTreeMap<(&'a str, &'a str, &'a str), Vec<f64>>;

/// What must hold whatever the table shows. Which of two sets is better is a matter of rounding
/// noise once they are near: the standard error of the passages' differences is shown, not allowed for.
fn judge(found: &Found<'_>, report: &mut Report) {
    let of = |key: (&str, &str, &str)| found.get(&key).cloned().unwrap_or_default();
    let all = |key| of(key).last().copied().unwrap_or(f64::NAN);
    let mut no_worse = |what: &str, a, b| {
        let (a_each, b_each) = (of(a), of(b));
        let count = a_each.len().saturating_sub(1);
        let off: Vec<f64> = a_each.iter().zip(&b_each).take(count).map(|(a, b)| a - b).collect();
        let mean = off.iter().sum::<f64>() / count as f64;
        let squares = off.iter().map(|d| (d - mean).powi(2)).sum::<f64>();
        let error = (squares / (count as f64 - 1.0) / count as f64).sqrt();
        let ratio = all(a) / all(b);
        let what = format!("{what}: ratio {ratio:.3}; difference {mean:.4} ± {error:.4}");
        report.holds(&what, mean <= 0.0);
    };
    for strategy in ["tensor", "attn_head"] {
        for methods in ["mse", "attention"] {
            let (ours, absmax) =
                (("fp8_e4m3", strategy, methods), ("fp8_e4m3", strategy, "absmax"));
            no_worse(&format!("fp8_e4m3, {strategy}: {methods} against absmax"), ours, absmax);
        }
    }
    for dtype in ["int8", "fp8_e4m3"] {
        for methods in ["mse", "attention"] {
            let (head, tensor) = ((dtype, "attn_head", methods), (dtype, "tensor", methods));
            no_worse(&format!("{dtype}, {methods}: per head against per tensor"), head, tensor);
        }
    }
    for strategy in ["tensor", "attn_head"] {
        let best = all(("int8", strategy, "mse")).min(all(("int8", strategy, "attention")));
        let ratio = best / all(("int8", strategy, "absmax"));
        report.at_most(&format!("int8, {strategy}: mse or attention / absmax"), ratio, 0.9);
    }
}
