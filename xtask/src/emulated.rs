//! `cargo xtask emulated COMMAND…`: runs a command with the emulated CUDA device where the loader finds
//! its driver. Programs that use cudarc need nothing else.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::args::Args;
use crate::repo;

/// The names that programs ask the loader for.
const NAMES: [&str; 2] = ["libcuda.so", "libcuda.so.1"];

pub(crate) fn run(args: Args) -> Result<()> {
    let mut words = args.remaining().into_iter();
    let program = words.next().context("a command is needed: cargo xtask emulated COMMAND…")?;
    repo::run(on_path(Command::new(program).args(words), None)?)
}

/// Puts the emulated driver in front of the loader's path, and another folder where one is given.
pub(crate) fn on_path(command: &mut Command, other: Option<PathBuf>) -> Result<&mut Command> {
    let before = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    // An empty entry is the current folder: an unset variable must not become one.
    let before = std::env::split_paths(&before).filter(|folder| !folder.as_os_str().is_empty());
    let folders = std::iter::once(library()?).chain(other).chain(before);
    let path = std::env::join_paths(folders).context("a folder with a colon in its name")?;
    Ok(command.env("LD_LIBRARY_PATH", path))
}

/// Builds the emulated driver; the folder it is in, under the names that programs ask for.
fn library() -> Result<PathBuf> {
    if !cfg!(target_os = "linux") {
        bail!("the emulated driver is a library for Linux");
    }
    // Optimized: what runs on it is interpreted. In a target folder of its own, so that no build with
    // other features puts another library in its place.
    let build = repo::target_dir().join("cuda/emulated");
    repo::run(
        repo::cargo()
            .args(["build", "--quiet", "--release", "--package", "cuda-emulator"])
            .args(["--features", "cuda-emulator/libcuda", "--target-dir"])
            .arg(&build),
    )?;
    let built = build.join("release/libcuda_emulator.so");
    let folder = build.join("lib");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for name in NAMES {
        // Moved into its place: a program that runs keeps the library it has.
        let (fresh, place) = (folder.join(format!("{name}.new")), folder.join(name));
        fs::copy(&built, &fresh).with_context(|| format!("cannot copy {}", built.display()))?;
        fs::rename(&fresh, &place).with_context(|| format!("cannot make {}", place.display()))?;
    }
    Ok(folder)
}
