//! The forward pass of a Llama-like decoder over a step batch of several sequences.
//!
//! A [`Step`] holds the rows of all sequences one behind the other, prefill and decode mixed: row
//! `r` is one token at one position, and its KV goes to one slot. [`Decoder`] runs it on any
//! attention backend whose tensors are slices; [`Executor`] is the seam for anything else, such as the
//! decoder on a CUDA device in [`crate::cuda`].

mod decoder;
mod executor;
mod layers;
mod scratch;

pub use decoder::Decoder;
pub use executor::{Executor, HostBackend, Step, Tap, Watches};
pub(crate) use layers::{Kind, Kinds, Layer, plans};
