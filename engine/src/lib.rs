//! Loads a Llama checkpoint and generates text from an FP8 paged KV cache.

pub mod assets;
pub mod cache;
pub mod chat;
pub mod config;
mod error;
pub mod eval;
pub mod llm;
mod mem;
pub mod model;
pub mod ops;
pub mod sampling;
pub mod tokenizer;
pub mod weights;

pub use error::Error;
