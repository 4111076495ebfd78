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
    /// `config.json` (or `generation_config.json`) lacks a field, or the field's value is wrong.
    #[error("config.json: {field}: {message}")]
    Config {
        /// The field's path inside the file, e.g. `rope_parameters.rope_type`.
        field: String,
        /// What is wrong with it, with the value and the limit.
        message: String,
    },
}
