//! The cache: sequences that hold blocks of one pool.

use crate::config::CacheConfig;
use crate::error::{Error, Result};
use crate::ids::{BlockCopy, BlockId, SeqId};
use crate::pool::Pool;
use crate::sequence::Sequences;
use crate::slots::Slots;

/// Block tables for many sequences over one pool of blocks.
///
/// It decides where each token's keys and values are stored, and never touches them. Every call
/// either succeeds or leaves the cache as it was.
#[derive(Clone, Debug)]
pub struct PagedCache {
    config: CacheConfig,
    pool: Pool,
    sequences: Sequences,
    /// The copies of the last append, kept to be reused.
    copies: Vec<BlockCopy>,
}

/// What [`PagedCache::admit`] found and set aside.
#[derive(Debug)]
#[non_exhaustive]
pub struct Admission<'a> {
    /// The leading tokens that are in the cache already: do not compute them.
    pub cached_tokens: usize,
    /// Where the other tokens go.
    pub slots: Slots<'a>,
}

/// What [`PagedCache::append`] set aside.
#[derive(Debug)]
#[non_exhaustive]
pub struct Append<'a> {
    /// Where the new tokens go.
    pub slots: Slots<'a>,
    /// Blocks to copy before anything is written to those slots, in this order.
    pub copies: &'a [BlockCopy],
}

impl PagedCache {
    /// An empty cache. Costs the same for ten blocks and ten million.
    pub fn new(config: CacheConfig) -> Result<Self> {
        config.validate()?;
        let pool = Pool::new(config.num_blocks as u32);
        Ok(Self { config, pool, sequences: Sequences::default(), copies: Vec::new() })
    }

    /// How the cache was set up.
    pub fn config(&self) -> &CacheConfig {
        &self.config
    }

    /// Takes in a new sequence with its first tokens, and sets blocks aside for all of them.
    pub fn admit(&mut self, seq: SeqId, tokens: &[u32]) -> Result<Admission<'_>> {
        if self.sequences.contains(seq) {
            return Err(Error::SequenceExists(seq));
        }
        let needed = self.blocks_for(tokens.len());
        let free = self.num_free_blocks().saturating_sub(self.config.watermark);
        if needed > free {
            return Err(Error::NoFreeBlocks { needed, free });
        }
        let sequence = self.sequences.insert(seq);
        for _ in 0..needed {
            sequence.table.extend(self.pool.take().map(|taken| taken.block));
        }
        sequence.num_tokens = tokens.len();
        let slots = Slots::new(&sequence.table, self.config.block_size, 0..tokens.len());
        Ok(Admission { cached_tokens: 0, slots })
    }

    /// Sets aside room for `n` more tokens of a sequence. If its last block is only partly filled
    /// and shared with a fork, the sequence gets a copy of its own first.
    pub fn append(&mut self, seq: SeqId, n: usize) -> Result<Append<'_>> {
        let sequence = self.sequences.get_mut(seq)?;
        let block_size = self.config.block_size;
        let start = sequence.num_tokens;
        let end = start.saturating_add(n);
        let last = start / block_size;
        let shared =
            n > 0 && start % block_size != 0 && self.pool.ref_count(sequence.table[last]) > 1;
        let grow = end.div_ceil(block_size).saturating_sub(sequence.table.len());
        let needed = grow.saturating_add(usize::from(shared));
        let free = self.pool.num_free();
        if needed > free {
            return Err(Error::NoFreeBlocks { needed, free });
        }
        self.copies.clear();
        if let Some(dst) = shared.then(|| self.pool.take()).flatten() {
            let src = std::mem::replace(&mut sequence.table[last], dst.block);
            self.pool.release(src);
            self.copies.push(BlockCopy { src, dst: dst.block });
        }
        for _ in 0..grow {
            sequence.table.extend(self.pool.take().map(|taken| taken.block));
        }
        sequence.num_tokens = end;
        Ok(Append {
            slots: Slots::new(&sequence.table, block_size, start..end),
            copies: &self.copies,
        })
    }

    /// Makes `child` a copy of `parent` that shares all its blocks.
    pub fn fork(&mut self, parent: SeqId, child: SeqId) -> Result<()> {
        if self.sequences.contains(child) {
            return Err(Error::SequenceExists(child));
        }
        let from = self.sequences.get(parent)?;
        let num_tokens = from.num_tokens;
        let num_blocks = num_tokens.div_ceil(self.config.block_size);
        self.sequences.insert(child);
        for at in 0..num_blocks {
            let block = self.sequences.get(parent)?.table[at];
            self.pool.retain(block);
            self.sequences.get_mut(child)?.table.push(block);
        }
        self.sequences.get_mut(child)?.num_tokens = num_tokens;
        Ok(())
    }

    /// Cuts a sequence to its first `num_tokens` tokens and frees the blocks behind them.
    pub fn truncate(&mut self, seq: SeqId, num_tokens: usize) -> Result<()> {
        let sequence = self.sequences.get_mut(seq)?;
        if num_tokens > sequence.num_tokens {
            let got = num_tokens;
            return Err(Error::Length { seq, num_tokens: sequence.num_tokens, got });
        }
        for block in sequence.table.drain(num_tokens.div_ceil(self.config.block_size)..).rev() {
            self.pool.release(block);
        }
        sequence.num_tokens = num_tokens;
        Ok(())
    }

    /// Lets a sequence go, its last block first.
    pub fn free(&mut self, seq: SeqId) -> Result<()> {
        let (at, sequence) = self.sequences.remove(seq)?;
        for &block in sequence.table.iter().rev() {
            self.pool.release(block);
        }
        self.sequences.recycle(at, sequence);
        Ok(())
    }

    /// The blocks of a sequence, in the order of its tokens.
    pub fn block_table(&self, seq: SeqId) -> Result<&[BlockId]> {
        Ok(&self.sequences.get(seq)?.table)
    }

    /// The tokens of a sequence that have a slot.
    pub fn num_tokens(&self, seq: SeqId) -> Result<usize> {
        Ok(self.sequences.get(seq)?.num_tokens)
    }

    /// Where the tokens at `positions` of a sequence are stored.
    pub fn slots(&self, seq: SeqId, positions: std::ops::Range<usize>) -> Result<Slots<'_>> {
        let sequence = self.sequences.get(seq)?;
        if positions.end > sequence.num_tokens {
            let got = positions.end;
            return Err(Error::Length { seq, num_tokens: sequence.num_tokens, got });
        }
        Ok(Slots::new(&sequence.table, self.config.block_size, positions))
    }

    /// The blocks that can be taken.
    pub fn num_free_blocks(&self) -> usize {
        self.pool.num_free()
    }

    /// The sequences in the cache.
    pub fn num_sequences(&self) -> usize {
        self.sequences.len()
    }

    /// How many sequences hold a block.
    pub fn ref_count(&self, block: BlockId) -> u32 {
        self.pool.ref_count(block)
    }

    fn blocks_for(&self, num_tokens: usize) -> usize {
        num_tokens.div_ceil(self.config.block_size)
    }
}
