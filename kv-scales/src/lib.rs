//! Resolves the KV-cache scales of a checkpoint, with provenance, and says which were dropped.

pub mod checkpoint;
mod dtype;
mod error;

pub use checkpoint::{Checkpoint, Location, Shard, TensorDtype, TensorEntry};
pub use dtype::{KvDtype, KvDtypes};
pub use error::Error;
