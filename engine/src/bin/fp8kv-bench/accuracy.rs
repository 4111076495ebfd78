//! What a KV dtype costs in quality: perplexity of a held-out text, and the mean change of each
//! token's log-probability against an f32 cache.

use std::time::Instant;

use engine::eval::{Metrics, compare};
use engine::llm::EngineConfig;
use serde_json::{Value, json};

use crate::Options;
use crate::model::{load_with, windows};
use crate::report::{Failure, Report, Table, count};

/// What transformers gives for the embedded model on the same text, per dtype.
const REFERENCES: &str = include_str!("../../../assets/references.json");

/// What is compared: a cache dtype, and whether its scales are calculated when the model is loaded
/// rather than 1.0. The first is what the others are held against.
const VARIANTS: [(&str, bool); 7] = [
    ("f32", false),
    ("bf16", false),
    ("f16", false),
    ("fp8_e4m3", false),
    ("fp8_e4m3", true),
    ("fp8_e5m2", false),
    ("int8", true),
];

pub(crate) fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let limit = match (options.quick, options.model.is_some()) {
        (true, _) => 2,
        // Some hundred times the work: a part of the text must do.
        (false, true) => 4,
        (false, false) => usize::MAX,
    };
    let (mut rows, mut baseline) = (Vec::new(), Vec::new());
    let (mut name, mut all_windows, mut tokens) = (String::new(), true, 0);
    for (dtype, calculated) in VARIANTS {
        eprintln!("          {dtype}");
        let settings = EngineConfig { calculate_kv_scales: calculated, ..EngineConfig::default() };
        let mut llm = load_with(options, dtype, &settings)?;
        let mut windows = windows(&llm)?;
        all_windows = windows.len() <= limit;
        windows.truncate(limit);
        tokens = windows.iter().map(Vec::len).sum();
        let begun = Instant::now();
        let scored = windows.iter().map(|ids| llm.score(ids)).collect::<Result<Vec<_>, _>>()?;
        let seconds = begun.elapsed().as_secs_f64();
        if baseline.is_empty() {
            baseline.clone_from(&scored);
        }
        let metrics = compare(&scored, &baseline)?;
        rows.push(Row { dtype, calculated, metrics, seconds });
        name = llm.name().to_owned();
    }
    let checked = options.model.is_none() && all_windows;
    if checked {
        rows.iter().try_for_each(check)?;
    }

    report.heading(&format!("Accuracy: {name}, {} tokens of held-out text", count(tokens as u64)));
    let mut table =
        Table::new(&["KV dtype", "perplexity", "mean |Δ logprob|", "same likeliest token"]);
    for Row { dtype, calculated, metrics, .. } in &rows {
        table.row([
            if *calculated { format!("{dtype}, calculated scales") } else { (*dtype).to_owned() },
            format!("{:.3}", metrics.perplexity),
            format!("{:.4}", metrics.mean_abs_dlogp),
            format!("{:.1} %", 100.0 * metrics.argmax_agreement),
        ]);
    }
    report.table(&table);
    report
        .note("  Δ and the likeliest token against the f32 cache; scales 1.0 where not calculated");
    report.note(match checked {
        true => {
            "  perplexities within 0.1 % (f32) and 1 % (others) of those that transformers gives"
        }
        false => {
            "  not compared with stored references: those are for the embedded model's whole text"
        }
    });
    report.add("accuracy", Value::Array(rows.iter().map(|r| r.json(&name, tokens)).collect()));
    Ok(())
}

struct Row {
    dtype: &'static str,
    calculated: bool,
    metrics: Metrics,
    seconds: f64,
}

impl Row {
    fn json(&self, model: &str, tokens: usize) -> Value {
        let Metrics { perplexity, nll, mean_abs_dlogp, argmax_agreement } = self.metrics;
        json!({ "model": model, "kv_cache_dtype": self.dtype, "tokens": tokens,
                "calculated_scales": self.calculated,
                "perplexity": perplexity, "nll": nll, "mean_abs_dlogp": mean_abs_dlogp,
                "argmax_agreement": argmax_agreement, "seconds": self.seconds })
    }
}

/// The embedded model must give what transformers gives. Where there is no such reference, f16 must
/// be as near as bf16, and calculated scales must leave the perplexity within 2 % of that with f32.
fn check(row: &Row) -> Result<(), Failure> {
    let references: Value = serde_json::from_str(REFERENCES)?;
    let (reference, tolerance) = match row.dtype {
        _ if row.calculated => ("f32", 0.02),
        "f32" => ("f32", 0.001),
        "f16" => ("bf16", 0.01),
        other => (other, 0.01),
    };
    let number = |key: &str| {
        let missing = || Failure::new(format!("no reference {key} for {reference}"));
        references["results"][reference][key].as_f64().ok_or_else(missing)
    };
    let (got, due) = (row.metrics.perplexity, number("perplexity")?);
    // Not `>`: a NaN must fail.
    let close = (got / due - 1.0).abs() <= tolerance;
    let (distance, expected) = (row.metrics.mean_abs_dlogp, number("mean_abs_dlogp")?);
    let near = row.calculated || distance <= 1.15 * expected;
    if close && near {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{}: perplexity {got:.4} where transformers gives {due:.4}, mean |Δ logprob| {distance:.4} \
         where it gives {expected:.4}",
        row.dtype
    )))
}
