//! `cargo xtask exhaustive`: all 2^32 f32 inputs through every codec, in release mode.

use anyhow::Result;

use crate::args::Args;
use crate::repo;

pub(crate) fn run(args: Args) -> Result<()> {
    repo::run_example("fp8-format", "exhaustive", &args.remaining())
}
