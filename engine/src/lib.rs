//! Loads a Llama checkpoint and generates text from an FP8 paged KV cache.
//!
//! The decision: **no tensor framework**. Outside attention a decoder step is eight small
//! operations, written here over slices; weights are used where they lie in the mapped file. Every
//! sum has one order ([`ops`]), so a sequence's results are the same to the last bit whatever runs
//! beside it (on a GPU, too, unless cublasLt computes its linear layers). The cost: four architectures ([`config::Architecture`]) and no others, and weights
//! in f32, f16 or bf16 only. What the crates below do stays theirs: this one decides which tokens
//! run when, and is the only one that knows them all.
//!
//! ```
//! use engine::{EngineConfig, Llm, SamplingParams};
//!
//! // The model compiled into the crate; `Llm::load("path/to/checkpoint", …)` for your own.
//! let mut llm = Llm::embedded(EngineConfig::default())?;
//! assert_eq!(llm.kv_cache_dtype(), "fp8_e4m3");
//! let outputs = llm.generate(&["In the beginning"], &SamplingParams::greedy(8))?;
//! println!("{}", outputs[0].outputs[0].text);
//! # assert_eq!(outputs[0].outputs[0].token_ids.len(), 8);
//! # Ok::<(), engine::Error>(())
//! ```
//!
//! | type | what it is |
//! |---|---|
//! | [`Llm`], [`EngineConfig`] | a loaded model: `generate`, `score` |
//! | [`SamplingParams`], [`Prompt`] | what a request asks for |
//! | [`RequestOutput`], [`CompletionOutput`] | what it gets |
//! | [`config::ModelConfig`] | `config.json`, checked |
//! | [`weights::Weights`], [`ops::Matrix`] | tensors in mapped files |
//! | [`model::Decoder`], [`model::Executor`] | the forward pass, and the seam to bring another |
//! | [`Device`], [`cuda::CudaDecoder`] | where it runs; the forward pass on a CUDA device |
//! | [`model::Tap`] | watches q, k, v and attention per layer |
//! | [`cache::CacheLayout`], [`cache::Capacity`] | how KV is stored, what a budget holds |
//! | [`tokenizer::Tokenizer`], [`chat::ChatTemplate`] | text to ids and back, messages to text |
//! | [`eval::Metrics`] | perplexity and distance from an f32 cache |
//! | [`calibrate::Calibrator`] | finds the scales of a KV cache from text |
//! | [`Error`] | every refusal, with the name, the value and the limit |

pub mod assets;
pub mod cache;
pub mod calibrate;
pub mod chat;
pub mod config;
pub mod cuda;
pub mod device;
mod error;
pub mod eval;
pub mod llm;
mod mem;
pub mod model;
pub mod ops;
pub mod sampling;
pub mod tokenizer;
pub mod weights;

pub use device::Device;
pub use error::Error;
pub use llm::{CompletionOutput, EngineConfig, FinishReason, Llm, Prompt, RequestOutput};
pub use sampling::SamplingParams;
