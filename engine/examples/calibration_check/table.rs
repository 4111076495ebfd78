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
                let all = metrics.last().map_or(f64::NAN, |all| all.mean_abs_dlogp);
                found.insert((dtype, name, methods), all);
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

/// What must hold whatever the table shows.
fn judge(found: &BTreeMap<(&str, &str, &str), f64>, report: &mut Report) {
    let of = |dtype, strategy, methods| found.get(&(dtype, strategy, methods)).copied();
    let of = |dtype, strategy, methods| of(dtype, strategy, methods).unwrap_or(f64::NAN);
    for strategy in ["tensor", "attn_head"] {
        let absmax = of("int8", strategy, "absmax");
        let better = of("int8", strategy, "mse").min(of("int8", strategy, "attention")) / absmax;
        report.at_most(&format!("int8, {strategy}: mse or attention / absmax"), better, 0.9);
        let absmax = of("fp8_e4m3", strategy, "absmax");
        let same =
            of("fp8_e4m3", strategy, "mse").min(of("fp8_e4m3", strategy, "attention")) / absmax;
        report.at_most(&format!("fp8_e4m3, {strategy}: mse or attention / absmax"), same, 1.0);
    }
    for dtype in ["int8", "fp8_e4m3"] {
        for methods in ["mse", "attention"] {
            let ratio = of(dtype, "attn_head", methods) / of(dtype, "tensor", methods);
            report.at_most(&format!("{dtype}, {methods}: per head / per tensor"), ratio, 1.0);
        }
    }
}
