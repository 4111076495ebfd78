//! Crates outside of the workspace that use one library each, as a stranger would: they are built
//! and run by `cargo xtask test`. One folder of `xtask/consumers` is one of them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::repo;
use crate::steps::Steps;

/// Adds a step for each consumer, and a failing one for each library that has none.
pub(crate) fn steps(steps: &mut Steps, libraries: &[&str]) -> Result<()> {
    let mut folders: Vec<PathBuf> = fs::read_dir(repo::root().join("xtask").join("consumers"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    folders.retain(|folder| folder.join("Cargo.toml").is_file());
    folders.sort();
    let has = |name: &str| folders.iter().any(|f| f.file_name().is_some_and(|n| n == name));
    for library in libraries.iter().filter(|library| !has(library)) {
        steps.run(&format!("an outside crate uses {library}"), || {
            bail!("xtask/consumers/{library} is missing")
        });
    }
    for folder in &folders {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        steps.run(&format!("an outside crate uses {name}"), || build_and_run(folder));
    }
    Ok(())
}

/// A consumer with a `main.rs` is run; a library (the one without std) is only built.
fn build_and_run(folder: &Path) -> Result<()> {
    // The versions of the workspace's lock file: nothing new is resolved or fetched.
    fs::copy(repo::root().join("Cargo.lock"), folder.join("Cargo.lock"))
        .context("cannot copy Cargo.lock")?;
    let verb = if folder.join("src").join("main.rs").is_file() { "run" } else { "build" };
    let mut cargo = repo::cargo();
    cargo.args([verb, "--quiet", "--manifest-path"]).arg(folder.join("Cargo.toml"));
    // The workspace's own target folder and profile: what is compiled already is used again.
    for setting in ["opt-level=2", "debug=false"] {
        cargo.args(["--config", &format!("profile.dev.package.\"*\".{setting}")]);
    }
    repo::run(cargo.arg("--target-dir").arg(repo::target_dir()))
}
