//! `cargo xtask bench`: builds in release mode and runs `fp8kv-bench`, which prints one report and
//! writes `target/bench/report.json`; or, by name, one crate's own benchmark.

use anyhow::{Result, bail};

use crate::args::Args;
use crate::repo;

pub(crate) fn run(mut args: Args) -> Result<()> {
    match args.positional().as_deref() {
        None => report(args),
        Some("codec") => repo::run_example("fp8-format", "codec_bench", &args.remaining()),
        Some("attention") => {
            if args.flag("--peers") {
                return attention_peers(args);
            }
            repo::run_example("attn-kernels", "attention_bench", &args.remaining())
        }
        Some("cache") => repo::run_example("paged-cache", "cache_bench", &args.remaining()),
        Some(other) => bail!("no benchmark {other:?}: codec, attention, cache, or none for all"),
    }
}

/// Others' attention beside ours. They are Python packages: `--python PATH` says whose.
fn attention_peers(mut args: Args) -> Result<()> {
    let python = args.value("--python")?.unwrap_or_else(|| "python3".into());
    let mut build = repo::cargo();
    build.args(["build", "--release", "--package", "attn-kernels", "--example", "attention_bench"]);
    repo::run(&mut build)?;
    let mut command = std::process::Command::new(python);
    command.arg(repo::root().join("bench").join("peers").join("attention.py"));
    command.arg(repo::target_dir().join("release").join("examples").join("attention_bench"));
    repo::run(command.args(args.remaining()))
}

fn report(mut args: Args) -> Result<()> {
    let mut command = repo::cargo();
    // Not quiet: a release build from nothing takes minutes, and cargo shows how far it is.
    command.args(["run", "--release", "--package", "engine", "--bin", "fp8kv-bench"]);
    command.arg("--").arg("--out").arg(repo::target_dir().join("bench").join("report.json"));
    // The binary runs in the repository's root, so a relative path must be made whole here.
    if let Some(model) = args.value("--model")? {
        command.arg("--model").arg(std::path::absolute(model)?);
    }
    repo::run(command.args(args.remaining()))
}
