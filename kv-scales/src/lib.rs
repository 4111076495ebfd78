//! Resolves the KV-cache scales of a checkpoint, with provenance, and says which were dropped.

pub mod checkpoint;
mod dtype;
mod error;
mod fingerprint;
pub mod legacy;
pub mod model;
mod names;
mod pending;
pub mod report;
pub mod resolve;
mod resolved;
mod scale;
pub mod scheme;
mod tensor_parallel;
#[cfg(feature = "fs")]
pub mod writer;

pub use checkpoint::{Checkpoint, Location, Shard, TensorDtype, TensorEntry};
pub use dtype::{KvDtype, KvDtypes};
pub use error::Error;
pub use model::{GivenShape, LayerKind, LayerShape, ModelShape};
pub use names::Slot;
pub use pending::{LayerAbsmax, OnTheFlyRange, PendingScales};
pub use resolve::{
    MathUses, Platform, QFallback, ResolveOptions, SkipLayers, Warning, WarningCode, resolve,
};
pub use resolved::ResolvedScales;
pub use scale::{LayerScales, Origin, Scale, ScaleValue};
