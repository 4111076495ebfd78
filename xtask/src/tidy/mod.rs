//! `cargo xtask tidy`: the invariants of ARCHITECTURE.md that a compiler does not keep.
//!
//! A check is a pure function from what it reads to the problems it found, so each is tested here
//! on samples that must fail. Lints that clippy already has are not repeated: `manifests` makes
//! sure that they are switched on everywhere.

mod crates;
mod files;
mod lexer;
mod links;
mod manifests;
mod source;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::args::Args;
use crate::repo;

/// What is wrong where. `place` is a path with a line number where there is one.
#[derive(Debug, PartialEq)]
pub(crate) struct Problem {
    place: String,
    what: String,
}

impl Problem {
    fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into() }
    }
}

/// A text file of the repository, its path relative to the root with `/` between the parts.
pub(crate) struct TextFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl TextFile {
    fn extension(&self) -> &str {
        self.path.rsplit_once('.').map_or("", |(_, extension)| extension)
    }
}

pub(crate) fn run(args: Args) -> Result<()> {
    args.finish()?;
    let paths = tracked_files()?;
    let texts = read_texts(&paths)?;
    let metadata = metadata()?;

    let mut problems = Vec::new();
    problems.extend(files::check(&texts));
    problems.extend(files::check_folders(&paths));
    problems.extend(source::check(&texts));
    problems.extend(manifests::check(&texts));
    problems.extend(links::check(&texts, &paths));
    problems.extend(crates::check_arrows(&metadata));
    problems.extend(crates::check_dependencies(&metadata));
    for Problem { place, what } in &problems {
        println!("{place}: {what}");
    }
    if !problems.is_empty() {
        bail!("tidy: {} problems in {} files", problems.len(), paths.len());
    }
    println!("tidy: {} files, no problem", paths.len());
    Ok(())
}

/// Every file that git tracks or would track.
fn tracked_files() -> Result<Vec<String>> {
    let mut git = std::process::Command::new("git");
    git.current_dir(repo::root());
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"]);
    let list = repo::output(&mut git)?;
    let exists = |path: &&str| !path.is_empty() && repo::root().join(path).is_file();
    Ok(list.split('\0').filter(exists).map(str::to_owned).collect())
}

/// The files that are text; model weights and tables are not.
fn read_texts(paths: &[String]) -> Result<Vec<TextFile>> {
    let mut texts = Vec::new();
    for path in paths {
        let bytes = std::fs::read(repo::root().join(path)).with_context(|| path.clone())?;
        if bytes.contains(&0) {
            continue;
        }
        if let Ok(text) = String::from_utf8(bytes) {
            texts.push(TextFile { path: path.clone(), text });
        }
    }
    Ok(texts)
}

/// `cargo metadata` with the whole dependency graph.
pub(crate) fn metadata() -> Result<Value> {
    let mut cargo = repo::cargo();
    let text = repo::output(cargo.args(["metadata", "--format-version", "1", "--locked"]))?;
    serde_json::from_str(&text).context("cargo metadata wrote no JSON")
}
