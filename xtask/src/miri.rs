//! `cargo xtask miri`: the library crates that are portable and hold no SIMD, under Miri.
//!
//! Miri is a nightly component. Where it is missing the task says so and succeeds: it is the one
//! check that CI does not insist on.

use anyhow::Result;

use crate::args::Args;
use crate::repo;

/// Why the task may be skipped.
pub(crate) const MISSING: &str = "miri is not installed for this toolchain (a nightly component)";

const PACKAGES: [&str; 3] = ["fp8-format", "kv-scales", "paged-cache"];

pub(crate) fn run(args: Args) -> Result<()> {
    args.finish()?;
    if !available() {
        println!("skipped: {MISSING}");
        return Ok(());
    }
    let mut command = repo::cargo();
    command.args(["miri", "test", "--lib"]);
    for package in PACKAGES {
        command.args(["--package", package]);
    }
    // Files and clocks are read by some tests of the checkpoint reader.
    repo::run(command.env("MIRIFLAGS", "-Zmiri-disable-isolation"))
}

/// Whether `cargo miri` works here. A rustup proxy of that name exists without the component.
pub(crate) fn available() -> bool {
    repo::succeeds(repo::cargo().args(["miri", "--version"]))
}
