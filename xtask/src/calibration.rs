//! `cargo xtask calibration`: the engine's calibration against what llm-compressor found with the
//! same weights and text, and what its scales cost on held-out text. The stored figures are in
//! `xtask/data/smollm2`.

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
    let mut arguments = vec![model.to_string_lossy().into_owned(), OUTPUTS.into(), SCALES.into()];
    while let Some(check) = args.positional() {
        arguments.push(check);
    }
    args.finish()?;
    if !model.join("config.json").is_file() {
        bail!("{} holds no model: run `cargo xtask model smollm2`", model.display());
    }
    repo::run_example("engine", "calibration_check", &arguments)
}
