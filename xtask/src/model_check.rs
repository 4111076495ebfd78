//! `cargo xtask model-check`: paged-cache against its naive model, a million random operations.

use anyhow::Result;

use crate::args::Args;
use crate::repo;

pub(crate) fn run(args: Args) -> Result<()> {
    repo::run_example("paged-cache", "model_check", &args.remaining())
}
