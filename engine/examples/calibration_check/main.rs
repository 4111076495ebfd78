//! Calibration on SmolLM2-135M-Instruct: parity with llm-compressor, what the scales cost on held-out
//! text, a model whose keys saturate, time and memory.
//!
//! `calibration_check MODEL_DIR OUTPUTS_DIR SCALES_DIR [parity|table|rescaled|cost]…`: the stored
//! figures of llm-compressor are in `xtask/data/smollm2`, its checkpoints' scales in
//! `kv-scales/tests/fixtures`; `cargo xtask calibration` gives both. Prints one line per check with
//! its limit, and tables in Markdown; exit code 1 if a check fails.

mod cost;
mod parity;
#[path = "../smollm2_check/reference.rs"]
#[allow(dead_code, reason = "the other example uses the rest")]
mod reference;
mod rescaled;
mod sets;
mod shuffle;
mod table;

use reference::{Model, Reference};
use std::process::ExitCode;

/// Anything that keeps a check from being made.
type Failure = Box<dyn std::error::Error>;

/// One of the checks.
type Check = fn(&Context, &mut Report) -> Result<(), Failure>;

/// Tokens of a calibration sample.
const WINDOW: usize = 512;

/// Prints each check and remembers whether one failed.
#[derive(Default)]
struct Report {
    checks: usize,
    failed: usize,
}

impl Report {
    /// `value` must be at most `limit`; NaN is not.
    fn at_most(&mut self, what: &str, value: f64, limit: f64) {
        self.holds(&format!("{what}: {value:.3e} (limit {limit})"), value <= limit);
    }

    fn holds(&mut self, what: &str, ok: bool) {
        self.checks += 1;
        self.failed += usize::from(!ok);
        println!("{} {what}", if ok { "ok    " } else { "FAILED" });
    }
}

/// What every check works on.
struct Context {
    model: Model,
    reference: Reference,
    /// llm-compressor's calibration text, 128 rows.
    rows: Vec<Vec<u32>>,
}

fn run() -> Result<Report, Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, outputs, scales, wanted @ ..] = arguments.as_slice() else {
        return Err("usage: calibration_check MODEL_DIR OUTPUTS_DIR SCALES_DIR [CHECK]…".into());
    };
    let checks: [(&str, Check); 4] = [
        ("parity", parity::check),
        ("table", table::check),
        ("rescaled", rescaled::check),
        ("cost", cost::check),
    ];
    if let Some(unknown) = wanted.iter().find(|w| checks.iter().all(|(name, _)| name != w)) {
        return Err(format!("unknown check {unknown:?}: parity, table, rescaled, cost").into());
    }
    let reference = Reference::open(outputs.as_ref(), scales.as_ref())?;
    let ids = reference.tensors("calib_ids")?.ids("ids")?;
    let rows = ids.chunks_exact(WINDOW).map(<[u32]>::to_vec).collect();
    let context = Context { model: Model::open(model.as_ref())?, reference, rows };
    let mut report = Report::default();
    for (name, check) in checks {
        if wanted.is_empty() || wanted.iter().any(|w| w == name) {
            println!("\n## {name}\n");
            check(&context, &mut report)?;
        }
    }
    Ok(report)
}

fn main() -> ExitCode {
    match run() {
        Ok(report) => {
            println!("\n{} checks, {} failed", report.checks, report.failed);
            if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
