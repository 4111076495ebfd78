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
    /// It was cached: the caller takes its key out of the index.
    pub(crate) evicted: bool,
}

impl Pool {
    /// A pool of `num_blocks`, the null block counted. Both vectors come zeroed from the system.
    pub(crate) fn new(num_blocks: usize) -> Self {
        Self {
            state: vec![0; num_blocks],
            links: vec![[0; 2]; num_blocks],
            blank: FreeList::default(),
            cached: FreeList::default(),
            watermark: 1,
        }
    }

    /// All blocks, the null block counted.
    pub(crate) fn len(&self) -> usize {
        self.state.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&self.state[..]) + size_of_val(&self.links[..])
    }

    pub(crate) fn num_free(&self) -> usize {
        self.blank.len() + self.cached.len() + (self.len() - self.watermark as usize)
    }

    /// Free blocks that still have a key.
    pub(crate) fn num_cached(&self) -> usize {
        self.cached.len()
    }

    /// Blocks that hold something: all but the null block and the free ones.
    pub(crate) fn num_used(&self) -> usize {
        self.len() - 1 - self.num_free()
    }

    #[inline]
    pub(crate) fn ref_count(&self, block: BlockId) -> u32 {
        self.state[block.at()] & !CACHED
    }

    #[inline]
    pub(crate) fn is_cached(&self, block: BlockId) -> bool {
        self.state[block.at()] & CACHED != 0
    }

    /// Whether a used block has one holder and no key: nobody else can read it.
    #[inline]
    pub(crate) fn is_writable(&self, block: BlockId) -> bool {
        self.state[block.at()] == 1
    }

    pub(crate) fn is_fresh(&self, block: BlockId) -> bool {
        block.0 >= self.watermark
    }

    /// The blocks that were ever used.
    pub(crate) fn touched(&self) -> impl Iterator<Item = BlockId> + use<> {
        (1..self.watermark).map(BlockId)
    }

    /// Free cached blocks, the next to be evicted first.
    pub(crate) fn coldest(&self) -> impl Iterator<Item = BlockId> {
        self.cached.iter(&self.links)
    }

    /// Takes a free block, with one reference.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<Taken> {
        let taken = if let Some(block) = self.blank.pop_front(&mut self.links) {
            Taken { block, evicted: false }
        } else if (self.watermark as usize) < self.len() {
            self.watermark += 1;
            Taken { block: BlockId(self.watermark - 1), evicted: false }
        } else {
            Taken { block: self.cached.pop_front(&mut self.links)?, evicted: true }
        };
        self.state[taken.block.at()] = 1;
        Some(taken)
    }

    /// One more reference, to a block that is used or waits in the cached list.
    #[inline]
    pub(crate) fn retain(&mut self, block: BlockId) {
        let state = &mut self.state[block.at()];
        let was_free = *state == CACHED;
        *state += 1;
        if was_free {
            self.cached.remove(&mut self.links, block);
        }
    }

    /// One reference less; the last one puts the block into its list, as the warmest of it. The null
    /// block is ignored.
    #[inline]
    pub(crate) fn release(&mut self, block: BlockId) {
        if self.drop_reference(block) == Some(CACHED) {
            self.cached.push_back(&mut self.links, block);
        }
    }

    /// Like [`Self::release`], but a cached block becomes the coldest: it was held, not used.
    pub(crate) fn release_cold(&mut self, block: BlockId) {
        if self.drop_reference(block) == Some(CACHED) {
            self.cached.push_front(&mut self.links, block);
        }
    }

    /// Counts one reference less. After the last, a block without a key goes into its list, and one
    /// with a key is left to the caller.
    #[inline]
    fn drop_reference(&mut self, block: BlockId) -> Option<u32> {
        if block.is_null() {
            return None;
        }
        let state = &mut self.state[block.at()];
        debug_assert!(*state & !CACHED > 0, "{block:?} released once too often");
        *state -= 1;
        if *state == 0 {
            self.blank.push_front(&mut self.links, block);
        }
        Some(*state)
    }

    /// Marks a used block as having a key in the index.
    pub(crate) fn set_cached(&mut self, block: BlockId) {
        debug_assert!(self.ref_count(block) > 0);
        self.state[block.at()] |= CACHED;
    }

    /// Marks every free cached block as blank; they keep their order.
    pub(crate) fn clear_cached(&mut self) {
        while let Some(block) = self.cached.pop_front(&mut self.links) {
            self.state[block.at()] = 0;
            self.blank.push_back(&mut self.links, block);
        }
    }

    /// Gives the pool more blocks, never used so far.
    pub(crate) fn grow(&mut self, num_blocks: usize) {
        let used = self.watermark as usize;
        let mut state = vec![0; num_blocks];
        state[..used].copy_from_slice(&self.state[..used]);
        let mut links = vec![[0; 2]; num_blocks];
        links[..used].copy_from_slice(&self.links[..used]);
        (self.state, self.links) = (state, links);
    }

    /// Ends the pool at `num_blocks`. Calls `evict` for the free cached blocks beyond, and returns the
    /// used ones with their reference counts: the caller gives each a new place by [`Self::rehouse`].
    pub(crate) fn shrink(
        &mut self,
        num_blocks: usize,
        mut evict: impl FnMut(BlockId),
    ) -> Vec<Displaced> {
        let mut displaced = Vec::new();
        for at in num_blocks..self.watermark as usize {
            let block = BlockId(at as u32);
            match self.state[at] {
                0 => self.blank.remove(&mut self.links, block),
                CACHED => {
                    self.cached.remove(&mut self.links, block);
                    evict(block);
                }
                state => displaced.push(Displaced { block, state }),
            }
        }
        self.watermark = self.watermark.min(num_blocks as u32);
        self.state.truncate(num_blocks);
        self.state.shrink_to_fit();
        self.links.truncate(num_blocks);
        self.links.shrink_to_fit();
        displaced
    }

    /// Gives a block that was just taken the references of a displaced one.
    pub(crate) fn rehouse(&mut self, block: BlockId, displaced: Displaced) {
        self.state[block.at()] = displaced.state;
    }
}

/// A used block that lost its place when the pool shrank.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Displaced {
    pub(crate) block: BlockId,
    state: u32,
}

impl Displaced {
    pub(crate) fn is_cached(self) -> bool {
        self.state & CACHED != 0
    }
}
