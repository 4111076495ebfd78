//! Why a command failed: the engine's reasons, and those of the command line itself.

use std::path::PathBuf;

/// Ends a command with exit code 1 and one line on stderr.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Engine(#[from] engine::Error),
    #[error(transparent)]
    Scales(#[from] kv_scales::Error),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{}: {reason}", path.display())]
    Content { path: PathBuf, reason: String },
    #[error("the model has no {what}, which {needed_by} needs")]
    ModelLacks { what: &'static str, needed_by: &'static str },
    #[error("--linears {linears} is for a CUDA device; this is --device cpu")]
    LinearsOfCpu { linears: &'static str },
    #[error("max_model_len is {len}, must be 1 to max_position_embeddings ({limit})")]
    MaxModelLen { len: usize, limit: usize },
    #[error("scales are calculated for the platform that runs here, ocp, not for fnuz")]
    CalculateOnFnuz,
    #[error("--report {}: {limit}", path.display())]
    Report { path: PathBuf, limit: &'static str },
    #[error("writing the output: {0}")]
    Output(std::io::Error),
    /// A closed pipe is no error: see `main`.
    #[error("the output was closed")]
    OutputClosed,
}
