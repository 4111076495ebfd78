//! Counts: what the cache holds now, and what it has done so far.

use crate::level::Level;

/// What a cache holds and has done. All counts are of blocks unless they say otherwise; those of
/// events run from the cache's beginning, and [`Stats::since`] takes the difference.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// All that can be used: the null block is not counted.
    pub total_blocks: usize,
    /// Held by sequences, pins and moves.
    pub used_blocks: usize,
    /// Free to be taken.
    pub free_blocks: usize,
    /// Among the free ones, those whose content can still be hit.
    pub cached_blocks: usize,
    /// Blocks, used or free, that can be hit.
    pub indexed_blocks: usize,
    /// Sequences in the cache.
    pub num_sequences: usize,
    /// Admissions.
    pub requests: u64,
    /// Tokens of all admissions.
    pub query_tokens: u64,
    /// Those of them found in the cache.
    pub hit_tokens: u64,
    /// Cached blocks that made room.
    pub evictions: u64,
    /// Copies on write.
    pub copies: u64,
    /// Sequences preempted, by recompute or swap.
    pub preemptions: u64,
}

/// The part of [`Stats`] that only counts up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) requests: u64,
    pub(crate) query_tokens: u64,
    pub(crate) hit_tokens: u64,
    pub(crate) copies: u64,
    pub(crate) preemptions: u64,
}

impl Stats {
    pub(crate) fn new(device: &Level, num_sequences: usize, counters: Counters) -> Self {
        let pool = &device.pool;
        Self {
            total_blocks: pool.len() - 1,
            used_blocks: pool.num_used(),
            free_blocks: pool.num_free(),
            cached_blocks: pool.num_cached(),
            indexed_blocks: device.index.len(),
            num_sequences,
            requests: counters.requests,
            query_tokens: counters.query_tokens,
            hit_tokens: counters.hit_tokens,
            evictions: device.evictions,
            copies: counters.copies,
            preemptions: counters.preemptions,
        }
    }

    /// The used share of the blocks, 0 to 1.
    pub fn usage(&self) -> f64 {
        self.used_blocks as f64 / self.total_blocks as f64
    }

    /// The share of admitted tokens that were found in the cache, 0 to 1; 0 before any.
    pub fn hit_rate(&self) -> f64 {
        if self.query_tokens == 0 { 0.0 } else { self.hit_tokens as f64 / self.query_tokens as f64 }
    }

    /// The same with the counts since `earlier`, as for the hit rate of the last minute.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            requests: self.requests - earlier.requests,
            query_tokens: self.query_tokens - earlier.query_tokens,
            hit_tokens: self.hit_tokens - earlier.hit_tokens,
            evictions: self.evictions - earlier.evictions,
            copies: self.copies - earlier.copies,
            preemptions: self.preemptions - earlier.preemptions,
            ..*self
        }
    }
}
