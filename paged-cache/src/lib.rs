//! A block allocator for paged KV caches: block tables, copy-on-write, prefix sharing.
//!
//! A language model keeps keys and values of every token it has seen. Paged, they lie in blocks of a
//! fixed number of tokens, and a *block table* per sequence says which. This crate keeps those tables:
//! it gives out blocks, shares the ones that hold the same beginning, and takes them back. It never
//! sees a key, a value, a float or a device: the caller writes where it is told, and carries out the
//! copies it is handed.
//!
//! **The decision**: one flat array per fact about a block, threaded with lists, and no other
//! structure per block. The free lists, the least-recently-used order and the hash table are links
//! *through* the blocks, so that nothing is allocated while the cache runs, every operation takes
//! constant time per block, and a pool of ten million blocks is made in a millisecond from memory that
//! the system has not even mapped yet. **Its cost**: a block has one key, so prefixes are shared by
//! whole blocks at whole-block positions, not by arbitrary spans as a radix tree of tokens would; block
//! sizes are powers of two; and one thread drives a cache (it is `Send`, but there are no locks in it).
//!
//! ```
//! use paged_cache::{CacheConfig, PagedCache, SeqId};
//!
//! let mut cache = PagedCache::new(CacheConfig::new(64, 16))?; // 64 blocks of 16 tokens
//! let question: Vec<u32> = (0..40).collect();
//! let admission = cache.admit(SeqId(1), &question)?;          // nothing cached: 40 slots to write
//! assert_eq!((admission.cached_tokens, admission.slots.len()), (0, 40));
//! cache.commit(SeqId(1), &question)?;                         // written: others may share it now
//! assert_eq!(cache.admit(SeqId(2), &question)?.cached_tokens, 32);
//! let append = cache.append(SeqId(2), 1)?;                    // one more token
//! assert!(append.copies.is_empty());
//! cache.free(SeqId(1))?;
//! println!("{cache}");                                        // a map of the blocks
//! # Ok::<(), paged_cache::Error>(())
//! ```
//!
//! A step of an engine, then: [`admit`](PagedCache::admit) new sequences and [`append`](PagedCache::append)
//! to running ones; carry out the moves and copies; write and attend by
//! [`block_table`](PagedCache::block_table); [`commit`](PagedCache::commit) what was written;
//! [`free`](PagedCache::free) what is done. When blocks run out, [`preempt`](PagedCache::preempt) or
//! [swap out](PagedCache::swap_out) a sequence. Errors change nothing.
//!
//! | type | what it is |
//! |---|---|
//! | [`PagedCache`] | the cache |
//! | [`CacheConfig`], [`Group`], [`Attention`], [`Tier`] | its shape: blocks, block groups, tiers |
//! | [`SharedBlocks`] | block sizes for layers of different bytes that share one budget |
//! | [`BlockId`], [`SeqId`], [`Slot`], [`PinId`] | the numbers it deals in |
//! | [`Prompt`] | what a sequence begins with: tokens, salt, adapter, images, chunk |
//! | [`Admission`], [`Append`], [`Slots`], [`BlockCopy`] | what it answers |
//! | [`Move`], [`Place`] | blocks to be carried between the device and tiers |
//! | [`BlockKey`], [`identity`] | what a block's content is called, and why a hit needs no second look |
//! | [`Event`], [`BlockStored`], [`BlockRemoved`] | what routers follow, in vLLM's names |
//! | [`Stats`] | counts |
//! | [`Error`] | why a call was refused |
//!
//! What is not here: scheduling (who runs next), draft heads that need the last hit block computed
//! again (vLLM's "EAGLE" rule), state-space layers, and sharing of a partly filled block between
//! admissions (only [`fork`](PagedCache::fork) shares those).

mod admit;
mod cache;
mod capacity;
mod commit;
mod config;
mod display;
mod error;
mod events;
mod free_list;
mod group;
mod grow;
mod ids;
mod index;
mod key;
mod level;
mod lookup;
mod moves;
mod pin;
mod pool;
mod prompt;
mod resize;
mod sequence;
mod slots;
mod stats;
mod swap;

pub use admit::Admission;
pub use cache::PagedCache;
pub use capacity::SharedBlocks;
pub use config::{CacheConfig, Tier};
pub use error::{Error, Result};
pub use events::{BlockRemoved, BlockStored, Event};
pub use group::{Attention, Group};
pub use grow::Append;
pub use ids::{BlockCopy, BlockId, PinId, SeqId, Slot};
pub use key::{BlockKey, identity};
pub use moves::{Move, Place};
pub use prompt::Prompt;
pub use slots::Slots;
pub use stats::Stats;
