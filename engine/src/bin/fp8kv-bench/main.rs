//! The one report of this repository: what the machine gives, and what each layer makes of it.
//!
//! Every timed result is checked against a plain reference before its figure is printed, and a
//! speed stands beside a limit that was measured in the same run. Run by `cargo xtask bench`.

mod accuracy;
mod allocator;
mod attention;
mod capacity;
mod codec;
mod generation;
mod machine;
mod model;
mod report;
mod timing;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

use report::{Failure, Report};

/// One readable report, and the same as JSON.
#[derive(Parser)]
#[command(name = "fp8kv-bench")]
struct Options {
    /// A Hugging Face directory instead of the embedded model.
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Smaller buffers, fewer dtypes' figures, a shorter text: under a minute.
    #[arg(long)]
    quick: bool,
    /// Only these sections (repeatable): machine, codec, attention, allocator, capacity,
    /// generation, accuracy. The machine is always measured.
    #[arg(long, value_name = "SECTION")]
    only: Vec<String>,
    /// Where the JSON goes.
    #[arg(long, value_name = "FILE", default_value = "target/bench/report.json")]
    out: PathBuf,
}

/// A part of the report: its name, and what makes it.
type Section = (&'static str, fn(&Options, &mut Report) -> Result<(), Failure>);

const SECTIONS: [Section; 7] = [
    ("machine", machine::run),
    ("codec", codec::run),
    ("attention", attention::run),
    ("allocator", allocator::run),
    ("capacity", capacity::run),
    ("generation", generation::run),
    ("accuracy", accuracy::run),
];

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Failure> {
    if let Some(unknown) = options.only.iter().find(|o| SECTIONS.iter().all(|s| s.0 != **o)) {
        let names: Vec<&str> = SECTIONS.iter().map(|section| section.0).collect();
        return Err(Failure::new(format!("no section {unknown:?}: {}", names.join(", "))));
    }
    let started = Instant::now();
    let mut report = Report::default();
    for (name, section) in SECTIONS {
        // Every speed is set against the machine's, so that part always runs.
        let wanted = options.only.is_empty() || options.only.iter().any(|o| o == name);
        if wanted || name == "machine" {
            eprintln!("[{:5.1} s] {name} …", started.elapsed().as_secs_f64());
            section(options, &mut report)?;
        }
    }
    report.add("seconds", started.elapsed().as_secs_f64().into());
    report.write(&options.out)?;
    println!("\n{:.0} s in all; {}", started.elapsed().as_secs_f64(), options.out.display());
    Ok(())
}
