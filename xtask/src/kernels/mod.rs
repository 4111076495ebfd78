//! `cargo xtask kernels`: the CUDA kernels that ship, and those that tests run.

mod tests_ptx;

use anyhow::{Result, bail};

use crate::args::Args;
pub(crate) use tests_ptx::run as test_ptx;

/// `kernels --tests`: the PTX of the emulator's test kernels.
pub(crate) fn run(mut args: Args) -> Result<()> {
    let tests = args.flag("--tests");
    args.finish()?;
    if !tests {
        bail!("kernels needs --tests");
    }
    tests_ptx::run()
}
