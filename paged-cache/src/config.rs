//! How a cache is set up, and the arithmetic from a budget of bytes to blocks.

use crate::error::{Error, Result};

/// The shape of a [`crate::PagedCache`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// All blocks, the null block counted: ids run from 0 to `num_blocks - 1`.
    pub num_blocks: usize,
    /// Tokens per block, a power of two.
    pub block_size: usize,
    /// Blocks that an admission leaves free, so that running sequences can go on.
    pub watermark: usize,
}

impl CacheConfig {
    /// A cache of `num_blocks` (the null block counted) of `block_size` tokens.
    pub fn new(num_blocks: usize, block_size: usize) -> Self {
        Self { num_blocks, block_size, watermark: 0 }
    }

    /// As many blocks as `budget` bytes hold, each of `block_bytes` over all layers.
    pub fn from_budget(budget: u64, block_bytes: u64, block_size: usize) -> Result<Self> {
        if block_bytes == 0 {
            return Err(Error::BlockBytes);
        }
        let blocks = budget / block_bytes;
        if blocks < 2 {
            return Err(Error::Budget { budget, block_bytes, blocks });
        }
        let config = Self::new(usize::try_from(blocks).unwrap_or(usize::MAX), block_size);
        config.validate()?;
        Ok(config)
    }

    /// The tokens all blocks hold.
    pub fn num_tokens(&self) -> usize {
        self.num_blocks.saturating_mul(self.block_size)
    }

    /// How many sequences of `max_tokens` fit side by side.
    pub fn max_concurrency(&self, max_tokens: usize) -> f64 {
        self.num_blocks as f64 / max_tokens.div_ceil(self.block_size).max(1) as f64
    }

    pub(crate) fn validate(&self) -> Result<()> {
        if !self.block_size.is_power_of_two() {
            return Err(Error::BlockSize(self.block_size));
        }
        if self.num_blocks < 2 || self.num_blocks > u32::MAX as usize {
            return Err(Error::NumBlocks { got: self.num_blocks });
        }
        Ok(())
    }
}
