//! `fp8kv`: the command line. One file per subcommand; each has one `run`.

mod args;
mod bytes;
mod calibrate;
mod capacity;
mod eval;
mod failure;
mod generate;
mod inspect;
mod output;
mod progress;
mod table;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Text from an FP8 paged KV cache.
///
/// Without `--model`, a small model that is compiled into this program is used, so every command
/// works with nothing downloaded.
#[derive(Parser)]
#[command(name = "fp8kv", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Generate(generate::Args),
    Inspect(inspect::Args),
    Eval(eval::Args),
    Calibrate(calibrate::Args),
    Capacity(capacity::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Generate(args) => generate::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Calibrate(args) => calibrate::run(&args),
        Command::Capacity(args) => capacity::run(&args),
    };
    match result {
        // Whoever read our output has enough of it: `fp8kv … | head`.
        Ok(()) | Err(failure::Failure::OutputClosed) => ExitCode::SUCCESS,
        Err(failure) => {
            output::note(&format!("error: {}", output::one_line(&failure.to_string())));
            ExitCode::FAILURE
        }
    }
}
