//! How a cache is set up.

use crate::error::{Error, Result};
use crate::group::{Attention, Group};

/// The shape of a [`crate::PagedCache`].
///
/// ```
/// use paged_cache::{CacheConfig, Group};
///
/// let config = CacheConfig {
///     groups: vec![Group::full(16), Group::sliding_window(16, 1024)],
///     identity: paged_cache::identity([b"my-model".as_slice(), b"fp8_e4m3"]),
///     ..CacheConfig::new(1000, 16)
/// };
/// # let _ = paged_cache::PagedCache::new(config)?;
/// # Ok::<(), paged_cache::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// All blocks, the null block counted: ids run from 0 to `num_blocks - 1`.
    pub num_blocks: usize,
    /// The block groups, which all take their blocks from the one pool.
    pub groups: Vec<Group>,
    /// Blocks that an admission leaves free, so that running sequences can go on.
    pub watermark: usize,
    /// Whether committed blocks are found again.
    pub prefix_caching: bool,
    /// Whether a commit gives up a block whose content another block has too. It saves memory, but
    /// changes the block table: commit only after the step that wrote the block.
    pub deduplicate: bool,
    /// Whether events are collected. They must be drained then.
    pub events: bool,
    /// What the content of all blocks depends on, see [`crate::identity`].
    pub identity: [u8; 32],
    /// Where the blocks are, for events.
    pub medium: &'static str,
    /// Slower memories below, the fastest first.
    pub tiers: Vec<Tier>,
}

/// A memory that blocks can be moved to: the host's, files, an object store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Its name in events; vLLM's for host memory is `"CPU"`.
    pub medium: &'static str,
    /// Its blocks. As on the device, number 0 is never used.
    pub num_blocks: usize,
}

impl CacheConfig {
    /// A cache of `num_blocks` (the null block counted) of `block_size` tokens, for full attention,
    /// with prefix caching.
    pub fn new(num_blocks: usize, block_size: usize) -> Self {
        Self {
            num_blocks,
            groups: vec![Group::full(block_size)],
            watermark: 0,
            prefix_caching: true,
            deduplicate: false,
            events: false,
            identity: [0; 32],
            medium: "GPU",
            tiers: Vec::new(),
        }
    }

    /// Tokens per block of the first group.
    pub fn block_size(&self) -> usize {
        self.groups.first().map_or(0, |group| group.block_size)
    }

    pub(crate) fn validate(&self) -> Result<()> {
        if self.groups.is_empty() || self.groups.len() > u8::MAX.into() {
            return Err(Error::NumGroups(self.groups.len()));
        }
        for (at, group) in self.groups.iter().enumerate() {
            if !group.block_size.is_power_of_two() {
                return Err(Error::BlockSize(group.block_size));
            }
            match group.attention {
                Attention::SlidingWindow { window: 0 } | Attention::ChunkedLocal { chunk: 0 } => {
                    return Err(Error::NoWindow(at));
                }
                _ => {}
            }
        }
        if self.tiers.len() > usize::from(u8::MAX) - 1 {
            return Err(Error::NumTiers(self.tiers.len()));
        }
        let tiers = self.tiers.iter().map(|tier| tier.num_blocks);
        std::iter::once(self.num_blocks).chain(tiers).try_for_each(check_num_blocks)
    }
}

/// Whether a pool can have so many blocks.
pub(crate) fn check_num_blocks(got: usize) -> Result<()> {
    if got < 2 || got > u32::MAX as usize { Err(Error::NumBlocks { got }) } else { Ok(()) }
}
