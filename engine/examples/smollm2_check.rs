//! Checks the engine against stored outputs of transformers for SmolLM2-135M-Instruct.
//!
//! `smollm2_check MODEL_DIR OUTPUTS_DIR SCALES_DIR`: the stored outputs are in `xtask/data/smollm2`,
//! the calibrated scales in `kv-scales/tests/fixtures`; `cargo xtask smollm2` gives both. Prints one
//! line per check with its limit; exit code 1 if any fails.

#[path = "smollm2_check/greedy.rs"]
mod greedy;
#[path = "smollm2_check/layers.rs"]
mod layers;
#[path = "smollm2_check/perplexity.rs"]
mod perplexity;
#[path = "smollm2_check/reference.rs"]
mod reference;

use reference::{Model, Reference};
use std::process::ExitCode;

/// Anything that keeps a check from being made.
type Failure = Box<dyn std::error::Error>;

/// Prints each check and remembers whether one failed.
#[derive(Default)]
struct Report {
    checks: usize,
    failed: usize,
}

impl Report {
    /// `value` must be below `limit`; NaN is not.
    fn below(&mut self, what: &str, value: f64, limit: f64) {
        let ok = value < limit;
        self.checks += 1;
        self.failed += usize::from(!ok);
        println!(
            "{} {what}: off by {value:.2e} (limit {limit})",
            if ok { "ok    " } else { "FAILED" }
        );
    }

    fn holds(&mut self, what: &str, ok: bool) {
        self.checks += 1;
        self.failed += usize::from(!ok);
        println!("{} {what}", if ok { "ok    " } else { "FAILED" });
    }
}

fn run() -> Result<Report, Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, outputs, scales] = arguments.as_slice() else {
        return Err("usage: smollm2_check MODEL_DIR OUTPUTS_DIR SCALES_DIR".into());
    };
    let model = Model::open(model.as_ref())?;
    let reference = Reference::open(outputs.as_ref(), scales.as_ref())?;
    let mut report = Report::default();
    perplexity::check(&model, &reference, &mut report)?;
    greedy::check(&model, &reference, &mut report)?;
    layers::check(&model, &reference, &mut report)?;
    Ok(report)
}

fn main() -> ExitCode {
    match run() {
        Ok(report) => {
            println!("{} checks, {} failed", report.checks, report.failed);
            if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
