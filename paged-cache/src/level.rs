//! One level of storage: a pool and the index of what its blocks hold. The device is level 0; the
//! tiers below it (host memory, files, …) are levels of the same kind.

use crate::events::EventLog;
use crate::ids::BlockId;
use crate::index::Index;
use crate::key::BlockKey;
use crate::pool::Pool;

#[derive(Clone, Debug)]
pub(crate) struct Level {
    pub(crate) pool: Pool,
    pub(crate) index: Index,
    pub(crate) medium: &'static str,
    /// Cached blocks that had to make room.
    pub(crate) evictions: u64,
}

impl Level {
    /// An empty level; without `caching` its index takes no memory and finds nothing.
    pub(crate) fn new(num_blocks: usize, caching: bool, medium: &'static str) -> Self {
        let index = Index::new(if caching { num_blocks } else { 0 });
        Self { pool: Pool::new(num_blocks), index, medium, evictions: 0 }
    }

    /// Takes a free block, evicting the least recently used cached one if it must.
    #[inline]
    pub(crate) fn take(&mut self, events: &mut EventLog) -> Option<BlockId> {
        let taken = self.pool.take()?;
        if taken.evicted {
            self.evictions += 1;
            self.forget(taken.block, events);
        }
        Some(taken.block)
    }

    /// Takes a block's key out of the index.
    pub(crate) fn forget(&mut self, block: BlockId, events: &mut EventLog) {
        let (key, group) = self.index.entry(block);
        if self.index.remove(block) {
            events.removed(key, self.medium, group);
        }
    }

    /// Enters a used block into the index. Tells whether its key is new to this level.
    pub(crate) fn remember(&mut self, block: BlockId, key: &BlockKey, group: u8) -> bool {
        self.pool.set_cached(block);
        self.index.insert(block, key, group)
    }
}
