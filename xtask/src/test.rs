//! `cargo xtask test`.
use anyhow::Result;

use crate::args::Args;
use crate::repo;
use crate::steps::Steps;

pub(crate) fn run(args: Args) -> Result<()> {
    args.finish()?;
    let mut steps = Steps::new();
    steps.run("tests", || repo::run(repo::cargo().args(["nextest", "run", "--workspace"])));
    steps.finish()
}
