//! The blocks: a reference count each, and where the free ones wait.
//!
//! Free blocks are taken in this order: those that hold nothing reusable (last freed first, as its
//! memory is warmest), those never used, and at last the cached ones, least recently used first.
//! Never-used blocks are only a number, the watermark, over zeroed memory that the system has not
//! even mapped: a pool of ten million blocks costs nothing until its blocks are used.

use crate::free_list::{FreeList, Links};
use crate::ids::BlockId;

/// Set in a block's state word while the block has a key in the prefix index.
const CACHED: u32 = 1 << 31;

#[derive(Clone, Debug)]
pub(crate) struct Pool {
    /// Per block: the reference count, and the `CACHED` bit.
    state: Vec<u32>,
    links: Links,
    /// Free blocks without a key.
    blank: FreeList,
    /// Free blocks with a key, least recently used first.
    cached: FreeList,
    /// The first never-used block.
    watermark: u32,
}

/// A block out of the pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) block: BlockId,
    /// It still has its key: the caller takes it out of the index.
    pub(crate) evicted: bool,
}

impl Pool {
    /// A pool of `num_blocks`, the null block counted. Both vectors come zeroed from the system.
    pub(crate) fn new(num_blocks: u32) -> Self {
        Self {
            state: vec![0; num_blocks as usize],
            links: vec![[0; 2]; num_blocks as usize],
            blank: FreeList::default(),
            cached: FreeList::default(),
            watermark: 1,
        }
    }

    /// All blocks, the null block counted.
    pub(crate) fn len(&self) -> usize {
        self.state.len()
    }

    pub(crate) fn num_free(&self) -> usize {
        self.blank.len() + self.cached.len() + (self.len() - self.watermark as usize)
    }

    pub(crate) fn ref_count(&self, block: BlockId) -> u32 {
        self.state[block.at()] & !CACHED
    }

    /// Takes a free block, with one reference.
    pub(crate) fn take(&mut self) -> Option<Taken> {
        let taken = if let Some(block) = self.blank.pop_front(&mut self.links) {
            Taken { block, evicted: false }
        } else if (self.watermark as usize) < self.len() {
            self.watermark += 1;
            Taken { block: BlockId(self.watermark - 1), evicted: false }
        } else {
            let block = self.cached.pop_front(&mut self.links)?;
            Taken { block, evicted: true }
        };
        self.state[taken.block.at()] = 1;
        Some(taken)
    }

    /// One more reference, to a block that is used or waits in the cached list.
    pub(crate) fn retain(&mut self, block: BlockId) {
        let state = &mut self.state[block.at()];
        let was_free = *state & !CACHED == 0;
        *state += 1;
        if was_free {
            self.cached.remove(&mut self.links, block);
        }
    }

    /// One reference less; the last one puts the block into its list. The null block is ignored.
    pub(crate) fn release(&mut self, block: BlockId) {
        if block.is_null() {
            return;
        }
        let state = &mut self.state[block.at()];
        *state -= 1;
        if *state == 0 {
            self.blank.push_front(&mut self.links, block);
        } else if *state == CACHED {
            self.cached.push_back(&mut self.links, block);
        }
    }
}
