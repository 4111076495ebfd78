//! From a budget of bytes to blocks, tokens and sequences side by side.

use crate::config::{self, CacheConfig};
use crate::error::{Error, Result};
use crate::group::{Attention, Group};

impl CacheConfig {
    /// As many blocks as `budget` bytes hold, each of `block_bytes` over all layers, for full
    /// attention.
    pub fn from_budget(budget: u64, block_bytes: u64, block_size: usize) -> Result<Self> {
        let num_blocks = num_blocks(budget, block_bytes)?;
        let config = Self::new(num_blocks, block_size);
        config.validate()?;
        Ok(config)
    }

    /// The tokens all blocks hold, if every group takes its share.
    pub fn num_tokens(&self) -> usize {
        let block_size = self.groups.iter().map(|group| group.block_size).min().unwrap_or(0);
        (self.num_blocks / self.groups.len().max(1)).saturating_mul(block_size)
    }

    /// The most blocks a sequence of up to `max_tokens` holds at once, if no step adds more than
    /// `max_batch` tokens to it.
    pub fn max_blocks(&self, max_tokens: usize, max_batch: usize) -> usize {
        let of =
            |group: &Group| group.attention.max_blocks(group.block_size, max_tokens, max_batch);
        self.groups.iter().map(of).sum()
    }

    /// How many sequences of `max_tokens` fit side by side, if no step adds more than `max_batch`
    /// tokens to one.
    pub fn max_concurrency(&self, max_tokens: usize, max_batch: usize) -> f64 {
        self.num_blocks as f64 / self.max_blocks(max_tokens, max_batch).max(1) as f64
    }
}

/// Block sizes for groups whose tokens have different bytes (other dtypes, other numbers of layers),
/// so that all their blocks have the same bytes and can come from one pool.
///
/// ```
/// use paged_cache::{Attention, SharedBlocks};
///
/// // Ten layers of 2 KiB per token in FP8 beside two of 4 KiB in BF16.
/// let layers = [(Attention::Full, 10 * 2048), (Attention::Full, 2 * 4096)];
/// let shared = SharedBlocks::new(16, &layers)?;
/// assert_eq!(shared.groups[0].block_size, 16);
/// assert_eq!(shared.groups[1].block_size, 32);
/// assert_eq!(shared.block_bytes, 16 * 20480);
/// let config = shared.config(1 << 30)?;
/// assert_eq!(config.num_blocks, (1 << 30) / (16 * 20480));
/// # Ok::<(), paged_cache::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedBlocks {
    /// The groups, in the order given.
    pub groups: Vec<Group>,
    /// The bytes of any block. A group whose bytes per token are not a power of two below the
    /// largest leaves a part of it unused: never half of it or more.
    pub block_bytes: u64,
}

impl SharedBlocks {
    /// Groups of the given attention and bytes per token. The one with the most gets blocks of
    /// `block_size` tokens, the others of as many times that as fit, by powers of two.
    pub fn new(block_size: usize, groups: &[(Attention, u64)]) -> Result<Self> {
        if !block_size.is_power_of_two() {
            return Err(Error::BlockSize(block_size));
        }
        let Some(most) = groups.iter().map(|&(_, bytes)| bytes).max() else {
            return Err(Error::NumGroups(0));
        };
        if groups.iter().any(|&(_, bytes)| bytes == 0) {
            return Err(Error::BlockBytes);
        }
        let sized = groups.iter().map(|&(attention, bytes)| {
            let times = 1_usize << (most / bytes).ilog2();
            let block_size = block_size.checked_mul(times).ok_or(Error::BlockSize(block_size))?;
            Ok(Group { attention, block_size })
        });
        let groups = sized.collect::<Result<Vec<_>>>()?;
        let block_bytes =
            most.checked_mul(block_size as u64).ok_or(Error::BlockSize(block_size))?;
        Ok(Self { groups, block_bytes })
    }

    /// A cache of as many such blocks as `budget` bytes hold.
    pub fn config(&self, budget: u64) -> Result<CacheConfig> {
        let num_blocks = num_blocks(budget, self.block_bytes)?;
        let config = CacheConfig { groups: self.groups.clone(), ..CacheConfig::new(num_blocks, 1) };
        config.validate()?;
        Ok(config)
    }
}

fn num_blocks(budget: u64, block_bytes: u64) -> Result<usize> {
    if block_bytes == 0 {
        return Err(Error::BlockBytes);
    }
    let blocks = budget / block_bytes;
    if blocks < 2 {
        return Err(Error::Budget { budget, block_bytes, blocks });
    }
    let blocks = usize::try_from(blocks).unwrap_or(usize::MAX);
    config::check_num_blocks(blocks)?;
    Ok(blocks)
}
