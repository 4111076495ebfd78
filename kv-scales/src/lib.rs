//! What are this checkpoint's KV-cache scales, and is every one of them used?
//!
//! A quantized KV cache stores `code = x / scale`, and where the scales stand in a checkpoint, what
//! they are called and which of them are meant depends on who exported it. Engines lose them
//! silently, and the answers get worse for no visible reason. This crate opens a checkpoint by its
//! headers, finds the scales under every name that exporters have used, resolves them by one
//! decision table, and says of each where it came from. A scale that would be dropped is an error.
//!
//! # The decision, and its cost
//!
//! Strictness is the default: a tensor that looks like a KV scale and is not understood fails the
//! resolution, so a checkpoint of a new exporter fails here until its spelling is in the table
//! ([`ResolveOptions::strict`] turns that into a warning). Scales are resolved for the whole model
//! at once, before anything is cached, and never change afterwards: an engine that wants to switch
//! them must start a new cache, whose prefixes [`fingerprint`](ResolvedScales::fingerprint) keeps
//! apart. Deciding touches no file: [`resolve::Inputs`] is gathered first, and everything after it
//! is a function of its arguments; warnings are data, nothing is logged.
//!
//! # Example
//!
//! ```
//! use kv_scales::{Checkpoint, KvDtype, ResolveOptions, resolve};
//! # let shard = {
//! #     let header = concat!(r#"{"model.layers.0.self_attn.k_scale":"#,
//! #         r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#);
//! #     [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &0.25_f32.to_le_bytes()].concat()
//! # };
//! # let config = br#"{"num_hidden_layers": 1, "num_attention_heads": 4}"#;
//! // `Checkpoint::open(path)` for a directory.
//! let checkpoint = Checkpoint::from_memory(vec![
//!     ("config.json".into(), config.as_slice().into()),
//!     ("model.safetensors".into(), shard.into()),
//! ])?;
//! let options = ResolveOptions { dtype: KvDtype::Fp8E4M3.into(), ..Default::default() };
//! let scales = resolve(&checkpoint, &options)?;
//! let layer = &scales.layers()[0];
//! assert_eq!(layer.v.value.values(), [0.25]);
//! assert_eq!(layer.v.origin.name(), "duplicated"); // there is a k scale only
//! assert_eq!(layer.v.origin.tensor(), Some("model.layers.0.self_attn.k_scale"));
//! for warning in scales.warnings() {
//!     eprintln!("{}: {}", warning.code, warning.message);
//! }
//! # Ok::<(), kv_scales::Error>(())
//! ```
//!
//! # Types
//!
//! | type | what it is |
//! |---|---|
//! | [`Checkpoint`] | a checkpoint's headers, configs and side files, checked; [`TensorEntry`], [`Shard`], [`TensorDtype`] |
//! | [`KvDtype`], [`KvDtypes`] | what a cache is stored as, one side or both |
//! | [`ModelShape`] | a model's layers and heads, from `config.json` |
//! | [`scheme::KvScheme`] | what the configs ask for: compressed-tensors, ModelOpt, Quark |
//! | [`ResolveOptions`], [`resolve()`] | the question |
//! | [`ResolvedScales`] | the answer: [`LayerScales`] of [`Scale`] = [`ScaleValue`] + [`Origin`], and [`Warning`]s |
//! | [`PendingScales`] | an answer that waits for the first batch, and is fixed once |
//! | [`observe::TensorObserver`], [`observe::Observer`] | scales from activations: absmax, minmax, percentile, mse |
//! | [`report::Report`] | the answer as rows, for tables and JSON |
//! | `writer::ScaleSet` | scales to be put into a new checkpoint directory (feature `fs`, on by default) |
//! | [`legacy`] | vLLM's old `kv_cache_scales.json`, read and written |
//! | [`Error`] | everything that can be wrong, by name, value and limit |

pub mod checkpoint;
mod dtype;
mod error;
mod fingerprint;
pub mod legacy;
pub mod model;
mod names;
pub mod observe;
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
