//! `cargo xtask kernels`: the CUDA kernels that ship, and those that tests run.

mod budget;
mod build;
mod manifest;
mod shipped;
mod tests_ptx;

use anyhow::{Result, bail};

use crate::args::Args;
pub(crate) use tests_ptx::run as test_ptx;

/// `kernels` rebuilds `attn-kernels/ptx` and `engine/ptx`; `--check` compares them byte for byte with
/// a fresh build and holds them against their budget; `--only TEXT` restricts both to files whose name contains it;
/// `--tests` makes the PTX of the emulator's test kernels instead.
pub(crate) fn run(mut args: Args) -> Result<()> {
    let (tests, check) = (args.flag("--tests"), args.flag("--check"));
    let only = args.value("--only")?;
    args.finish()?;
    match (tests, check) {
        (true, false) if only.is_none() => tests_ptx::run(),
        (true, _) => bail!("--tests stands alone"),
        (false, check) => build::run(check, only.as_deref()),
    }
}

/// Whether all that ships is current.
pub(crate) fn check() -> Result<()> {
    build::run(true, None)
}
