//! The model under test, loaded once per KV dtype, and the text it is tested on.

use engine::llm::{EngineConfig, Llm};

use crate::Options;
use crate::report::Failure;

/// Held out of the embedded model's training; other models may have seen it.
pub(crate) const TEXT: &str = include_str!("../../../assets/held-out.txt");

/// The cache dtypes that are compared, by their names; the first is what the others are held to.
pub(crate) const DTYPES: [&str; 5] = ["f32", "bf16", "f16", "fp8_e4m3", "fp8_e5m2"];

/// The model with a cache of that dtype, and the settings of the engine otherwise its own.
pub(crate) fn load(options: &Options, dtype: &str) -> Result<Llm, Failure> {
    load_with(options, dtype, &EngineConfig::default())
}

/// The same with other settings.
pub(crate) fn load_with(
    options: &Options,
    dtype: &str,
    settings: &EngineConfig,
) -> Result<Llm, Failure> {
    let dtypes = dtype.parse().map_err(|e| Failure::new(format!("{dtype}: {e}")))?;
    let settings = EngineConfig { kv_cache_dtype: Some(dtypes), ..settings.clone() };
    let llm = match &options.model {
        Some(directory) => Llm::load(directory, settings)?,
        None => Llm::embedded(settings)?,
    };
    Ok(llm)
}

/// The text's tokens under the model's tokenizer, in windows of one length.
pub(crate) fn windows(llm: &Llm) -> Result<Vec<Vec<u32>>, Failure> {
    let tokenizer = llm.tokenizer().ok_or_else(|| Failure::new("the model has no tokenizer"))?;
    Ok(engine::eval::windows(tokenizer, TEXT)?)
}
