//! `cargo xtask model NAME`: makes a checkpoint directory under `target/models`.

mod checkpoint;
mod dequantize;
mod gguf;
pub(crate) mod smollm2;
mod tokenizer;

use anyhow::{Context, Result, bail};

use crate::args::Args;

pub(crate) fn run(mut args: Args) -> Result<()> {
    let name = args.positional().context("which model? There is one: smollm2")?;
    match name.as_str() {
        "smollm2" => smollm2::run(args),
        other => bail!("no model {other:?}: there is one, smollm2"),
    }
}
