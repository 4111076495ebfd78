//! Puts the scales of one checkpoint, in whatever form they are, into a copy of another:
//! `cargo run --example put_scales -- BASE SCALES OUT [KV_CACHE_DTYPE]`.
//!
//! OUT is a new directory that shares BASE's shards and holds the scales as llm-compressor writes
//! them.

use std::path::Path;

use kv_scales::writer::{ScaleSet, write_checkpoint};
use kv_scales::{Checkpoint, KvDtypes, ModelShape, ResolveOptions, TensorDtype, resolve};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [base, scales, out, dtype @ ..] = args.as_slice() else {
        return Err("usage: put_scales BASE SCALES OUT [KV_CACHE_DTYPE]".into());
    };
    let dtype: KvDtypes = dtype.first().map_or("fp8", String::as_str).parse()?;
    let base = Checkpoint::open(Path::new(base))?;
    let scales = Checkpoint::open(Path::new(scales))?;
    let resolved = resolve(&scales, &ResolveOptions { dtype, ..Default::default() })?;
    for warning in resolved.warnings() {
        eprintln!("warning: {}: {}", warning.code, warning.message);
    }
    let model = ModelShape::from_config(base.config(), &Default::default())?;
    let set = ScaleSet::from_resolved(&resolved, TensorDtype::of_model(model.dtype))?;
    let written = write_checkpoint(&base, &set, Path::new(out))?;
    println!("{written:#?}");
    Ok(())
}
