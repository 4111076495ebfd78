//! Paged attention over FP8, INT8 and 16-bit KV caches, fused with dequantization.
//!
//! The decision: there is **one attention kernel per backend**, rows (query tokens × heads of a
//! group) against chunks of keys, and decoding is its case of few rows. The cache stays as it is
//! stored; codes become numbers in registers (or a tile that never leaves the L1 cache), so a step
//! reads one byte per FP8 element. Keys are walked in chunks of 256 at absolute positions, each
//! chunk reduced by itself and merged left to right. The cost is a merge per chunk; what it buys
//! is that a token's result is the same to the last bit whatever the batch around it, the number
//! of threads, the block size, the chunking of prefill, and whether it came by prefill or decode.
//!
//! The crate takes slices, block tables and a plan; it knows no sequences and no models.
//!
//! On AVX2 the bits of an FP8 code are moved to where an f32 has them; the power of two that is then
//! missing goes to the queries, the weights and the output. FP8 subnormals become f32 subnormals that
//! way, which some processors (Intel's) multiply slowly, and NaN codes become numbers. So append notes,
//! per 16 tokens and head, what the codes ask for, and those go a slower way to the same bits.
//!
//! ```
//! use attn_kernels::{AttentionShape, Backend, Batch, CacheShape, LayerScales, ReferenceBackend};
//! use fp8_format::ElementType::F8E4M3;
//!
//! # fn main() -> Result<(), attn_kernels::Error> {
//! let backend = ReferenceBackend;
//! // 4 blocks of 16 tokens, 1 KV head of 8 elements, K and V in FP8.
//! let mut cache = backend.new_cache(CacheShape::new(4, 16, 1, 8, F8E4M3, F8E4M3))?;
//! let scales = LayerScales::default();
//! backend.append(&mut cache, &scales, &[0.5; 8], &[2.0; 8], &[16])?; // block 1, offset 0
//! let mut batch = Batch::new();
//! batch.push(1, 1, [1]); // one query token, one KV token, in block 1
//! let plan = backend.plan(cache.shape(), &AttentionShape::new(2, 0.35), &batch)?;
//! let mut out = [0.0; 16]; // 2 query heads share the KV head
//! backend.attention(&plan, &cache, &scales, &[1.0; 16], &mut out, None)?;
//! assert_eq!(out, [2.0; 16]);
//! # Ok(())
//! # }
//! ```
//!
//! | type | what it is |
//! |---|---|
//! | [`Backend`] | append, attention, copy: the contract of a backend |
//! | [`CpuBackend`], [`CpuBuffer`] | SIMD and threads |
//! | [`HeadAbsmax`], [`MemoryStats`] | magnitudes seen by append, pages under a cache |
//! | [`cuda::CudaBackend`] | a CUDA device, real or emulated; `cuda::CudaDevice` is what the system has (feature `cuda`) |
//! | [`ReferenceBackend`], [`ReferenceBuffer`] | the formula in f64: the oracle |
//! | [`CacheShape`], [`KvLayout`], [`KvCache`] | one layer's blocks: K and V of any type, with dynamic scales or without |
//! | [`KvScale`], [`LayerScales`] | `real = code × scale`, per tensor or per head |
//! | [`AttentionShape`], [`Variant`], [`AttnMath`] | heads, mask, score changes, arithmetic |
//! | [`Batch`], [`Plan`] | the sequences of a step, and the same checked and cut up |
//! | [`merge_states`] | joins results over two parts of a context |
//! | [`Error`] | every refusal, with the value and the limit |

mod attention;
mod backend;
mod batch;
mod cpu;
pub mod cuda;
mod element;
mod error;
mod math;
mod mem;
mod merge;
mod observe;
mod plan;
mod reference;
mod scales;
mod shape;
mod simd;

pub use attention::{AttentionShape, Variant};
pub use backend::{Backend, KvCache};
pub use batch::Batch;
pub use cpu::{CpuBackend, CpuBuffer};
pub use error::Error;
pub use math::AttnMath;
pub use merge::merge_states;
pub use observe::{HeadAbsmax, MemoryStats};
pub use plan::Plan;
pub use reference::{ReferenceBackend, ReferenceBuffer};
pub use scales::{KvScale, LayerScales};
pub use shape::{CacheShape, KvLayout};
