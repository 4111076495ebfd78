//! From a budget of bytes to tokens and concurrency, and the two lines that say so.

use super::CacheLayout;
use crate::Error;
use paged_cache::CacheConfig;
use serde::Serialize;

/// What a budget buys with one layout.
#[derive(Debug, Clone, PartialEq)]
pub struct Capacity {
    /// Bytes of K and V per token, over all layers.
    pub bytes_per_token: u64,
    /// How `paged-cache` is to be set up.
    pub config: CacheConfig,
    /// The length that concurrency is counted for.
    pub max_model_len: usize,
}

/// The keys of `fp8kv capacity --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CapacityReport {
    /// The cache's dtype, by its canonical name.
    pub kv_cache_dtype: String,
    /// Bytes of K and V per token, over all layers.
    pub bytes_per_token: u64,
    /// Blocks in the pool.
    pub blocks: usize,
    /// Tokens they hold.
    pub tokens: usize,
    /// Sequences of `max_model_len` tokens that fit side by side.
    pub max_concurrency: f64,
}

impl Capacity {
    /// What `memory` bytes buy.
    ///
    /// # Errors
    /// When they hold fewer than two blocks (the null block and one more), or the block size is
    /// not a power of two: [`Error::Cache`], with need and have.
    pub fn new(layout: &CacheLayout, memory: u64, max_model_len: usize) -> Result<Self, Error> {
        let bytes_per_token = layout.bytes_per_token();
        let block_bytes = bytes_per_token * layout.block_size() as u64;
        let config = CacheConfig::from_budget(memory, block_bytes, layout.block_size())?;
        Ok(Self { bytes_per_token, config, max_model_len })
    }

    /// Bytes of all blocks.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes_per_token * self.config.num_tokens() as u64
    }

    /// The report's keys.
    #[must_use]
    pub fn report(&self, kv_cache_dtype: String) -> CapacityReport {
        CapacityReport {
            kv_cache_dtype,
            bytes_per_token: self.bytes_per_token,
            blocks: self.config.num_blocks,
            tokens: self.config.num_tokens(),
            max_concurrency: self.config.max_concurrency(self.max_model_len, self.max_model_len),
        }
    }
}

/// The two lines vLLM prints.
impl std::fmt::Display for Capacity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (tokens, len) = (grouped(self.config.num_tokens()), grouped(self.max_model_len));
        writeln!(f, "GPU KV cache size: {tokens} tokens")?;
        let times = self.config.max_concurrency(self.max_model_len, self.max_model_len);
        write!(f, "Maximum concurrency for {len} tokens per request: {times:.2}x")
    }
}

/// `1234567` → `1,234,567`.
fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_by_three() {
        for (n, want) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(n), want);
        }
    }
}
