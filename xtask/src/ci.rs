//! `cargo xtask ci`: what `.ci/run` runs.

use anyhow::Result;

use crate::args::Args;
use crate::{test, tidy};

pub(crate) fn run(args: Args) -> Result<()> {
    args.finish()?;
    tidy::run(Args::default())?;
    test::run(Args::default())
}
