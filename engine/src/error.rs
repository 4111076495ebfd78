//! The one error type of this crate: every variant names the thing, the value and the limit.

/// Why a checkpoint could not be loaded or a request not be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A side file (`config.json`, `generation_config.json`, …) is not the JSON it should be.
    #[error("{file}: {message}")]
    Json {
        /// The file's name.
        file: String,
        /// What is wrong with it.
        message: String,
    },
    /// `config.json` lacks a field, or the field's value is wrong.
    #[error("config.json: {field}: {message}")]
    Config {
        /// The field's path inside the file, e.g. `rope_parameters.rope_type`.
        field: String,
        /// What is wrong with it, with the value and the limit.
        message: String,
    },
    /// `config.json` asks for something this engine does not compute.
    #[error("config.json: {field}: {value:?} is not supported (supported: {supported})")]
    Unsupported {
        /// The field's path inside the file.
        field: String,
        /// What it asks for.
        value: String,
        /// What would work.
        supported: &'static str,
    },
    /// The checkpoint could not be opened, or its KV scales not be resolved.
    #[error(transparent)]
    Scales(#[from] kv_scales::Error),
    /// `tokenizer.json` could not be read, or a text not be encoded or decoded with it.
    #[error("tokenizer: {message}")]
    Tokenizer {
        /// What is wrong.
        message: String,
    },
    /// The chat template is broken, or refused the messages.
    #[error("chat template: {message}")]
    ChatTemplate {
        /// What is wrong, with the template's line where known.
        message: String,
    },
    /// A sampling parameter is outside its range.
    #[error("{name} is {value}, must be {limit}")]
    SamplingParam {
        /// The parameter's name.
        name: &'static str,
        /// The value given.
        value: String,
        /// The values that are allowed.
        limit: &'static str,
    },
    /// The model's logits are no distribution: no token can be chosen from them.
    #[error("broken logits: {message}")]
    Logits {
        /// Which logit, and its value.
        message: String,
    },
}
