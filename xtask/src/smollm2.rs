//! `cargo xtask smollm2 --references DIR`: the engine against what transformers computed with the
//! same weights (perplexities, logprobs, greedy continuations, attention outputs).

use anyhow::{Context, Result, bail};

use crate::args::Args;
use crate::model::smollm2;
use crate::repo;

pub(crate) fn run(mut args: Args) -> Result<()> {
    let references = args.value("--references")?.context("--references DIR is needed")?;
    // The example runs in the repository's root, so a relative path must be made whole here.
    let references = std::path::absolute(&references)?;
    if !references.is_dir() {
        bail!("{}: no such folder", references.display());
    }
    let model = match args.value("--model")? {
        Some(model) => std::path::absolute(model)?,
        None => {
            let model = smollm2::directory();
            if !model.join("config.json").is_file() {
                bail!("{} is missing: run `cargo xtask model smollm2`", model.display());
            }
            model
        }
    };
    let mut all = vec!["--model".to_owned(), model.to_string_lossy().into_owned()];
    all.extend(["--references".to_owned(), references.to_string_lossy().into_owned()]);
    all.extend(args.remaining());
    repo::run_example("engine", "smollm2_check", &all)
}
