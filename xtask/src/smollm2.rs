//! `cargo xtask smollm2`: the engine against what transformers computed with the same weights
//! (perplexities, logprobs, greedy continuations, activations). The stored outputs are in
//! `xtask/data/smollm2`, the calibrated scales are the fixtures of kv-scales.

use anyhow::{Result, bail};

use crate::args::Args;
use crate::model::smollm2;
use crate::repo;

const OUTPUTS: &str = "xtask/data/smollm2";
const SCALES: &str = "kv-scales/tests/fixtures";

pub(crate) fn run(mut args: Args) -> Result<()> {
    let model = match args.value("--model")? {
        // The example runs in the repository's root, so a relative path must be made whole here.
        Some(model) => std::path::absolute(model)?,
        None => smollm2::directory(),
    };
    args.finish()?;
    if !model.join("config.json").is_file() {
        bail!("{} holds no model: run `cargo xtask model smollm2`", model.display());
    }
    let folders = [model.to_string_lossy().into_owned(), OUTPUTS.into(), SCALES.into()];
    repo::run_example("engine", "smollm2_check", &folders)
}
