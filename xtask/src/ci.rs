//! `cargo xtask ci`: everything that must hold before a change lands. `.ci/run` calls it.

use anyhow::Result;

use crate::args::Args;
use crate::nvrtc::Toolkit;
use crate::steps::Steps;
use crate::{kernels, repo, test, tidy};

pub(crate) fn run(args: Args) -> Result<()> {
    args.finish()?;
    let mut steps = Steps::new();
    steps.run("formatting", || repo::run(repo::cargo().args(["fmt", "--all", "--check"])));
    steps.run("tidy", || tidy::run(Args::default()));
    steps.run("clippy", || {
        let mut cargo = repo::cargo();
        cargo.args(["clippy", "--workspace", "--all-targets", "--all-features", "--quiet"]);
        cargo.args(["--", "-D", "warnings"]);
        repo::run(&mut cargo)
    });
    steps.run("documentation", || {
        let mut cargo = repo::cargo();
        cargo
            .args(["doc", "--workspace", "--all-features", "--no-deps", "--quiet"])
            .env("RUSTDOCFLAGS", "-D warnings");
        repo::run(&mut cargo)
    });
    match Toolkit::unavailable() {
        None => steps.run("shipped PTX is what its sources give", kernels::check),
        Some(why) => steps.skip("shipped PTX is what its sources give", why),
    }
    test::all(&mut steps)?;
    if std::env::var("CARGO_NET_OFFLINE").is_ok_and(|v| v == "true") {
        steps.skip("packages", "needs the registry's index, and cargo is set to work offline");
    } else {
        steps.run("packages", packages);
    }
    steps.finish()
}

/// Each crate as a user would get it: only the files of its package, only published dependencies.
fn packages() -> Result<()> {
    let mut cargo = repo::cargo();
    // With all features, or what they alone compile in (the PTX) would not be looked for.
    cargo.args(["publish", "--workspace", "--dry-run", "--quiet", "--all-features"]);
    // While working, the tree holds changes; in CI it may not.
    if std::env::var_os("CI").is_none() {
        cargo.arg("--allow-dirty");
    }
    repo::run(&mut cargo)
}
