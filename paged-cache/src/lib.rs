//! A block allocator for paged KV caches: block tables, copy-on-write, prefix sharing.
//!
//! ```
//! use paged_cache::{CacheConfig, PagedCache, SeqId};
//!
//! let mut cache = PagedCache::new(CacheConfig::new(64, 16))?;
//! let seq = SeqId(1);
//! assert_eq!(cache.admit(seq, &[7; 20])?.slots.len(), 20);
//! let append = cache.append(seq, 1)?;
//! assert_eq!(append.slots.positions(), 20..21);
//! assert_eq!(cache.block_table(seq)?.len(), 2);
//! cache.free(seq)?;
//! assert_eq!(cache.num_free_blocks(), 63);
//! # Ok::<(), paged_cache::Error>(())
//! ```

mod cache;
mod config;
mod error;
mod free_list;
mod ids;
mod pool;
mod sequence;
mod slots;

pub use cache::{Admission, Append, PagedCache};
pub use config::CacheConfig;
pub use error::{Error, Result};
pub use ids::{BlockCopy, BlockId, SeqId, Slot};
pub use slots::Slots;
