//! The prefix index: from a block's key to the block. A hash table threaded through the blocks, as
//! the free list is: one link per block, no allocation, nothing moves when it grows full.
//!
//! The buckets are chosen by bits of the key itself. Several blocks may hold the same content (two
//! sequences computed it side by side); they stand in the order they came, and the oldest is found.

use crate::ids::BlockId;
use crate::key::BlockKey;

#[derive(Clone, Debug)]
pub(crate) struct Index {
    keys: Vec<[u64; 4]>,
    groups: Vec<u8>,
    /// Per block: the next one of its bucket, 0 at the end.
    next: Vec<u32>,
    /// Per bucket: its first block.
    heads: Vec<u32>,
    len: usize,
}

impl Index {
    /// An index of `num_blocks` blocks, none of them in it. All zeroed memory from the system.
    pub(crate) fn new(num_blocks: usize) -> Self {
        Self {
            keys: vec![[0; 4]; num_blocks],
            groups: vec![0; num_blocks],
            next: vec![0; num_blocks],
            heads: vec![0; num_blocks.next_power_of_two()],
            len: 0,
        }
    }

    /// The blocks in it.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn bytes(&self) -> usize {
        let Self { keys, groups, next, heads, .. } = self;
        size_of_val(&keys[..]) + groups.len() + size_of_val(&next[..]) + size_of_val(&heads[..])
    }

    /// Key and group of a block that is in the index.
    pub(crate) fn entry(&self, block: BlockId) -> (BlockKey, u8) {
        (BlockKey(self.keys[block.at()]), self.groups[block.at()])
    }

    fn bucket(&self, key: &BlockKey, group: u8) -> usize {
        // Groups of one prefix share its key: keep them out of each other's buckets.
        let mixed = key.0[0].wrapping_add(u64::from(group).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed as usize & (self.heads.len() - 1)
    }

    fn holds(&self, block: u32, key: &BlockKey, group: u8) -> bool {
        self.keys[block as usize] == key.0 && self.groups[block as usize] == group
    }

    /// The oldest block of a key.
    pub(crate) fn find(&self, key: &BlockKey, group: u8) -> Option<BlockId> {
        let mut block = self.heads[self.bucket(key, group)];
        while block != 0 {
            if self.holds(block, key, group) {
                return Some(BlockId(block));
            }
            block = self.next[block as usize];
        }
        None
    }

    /// Adds a block that is not in the index. Tells whether the key is new.
    pub(crate) fn insert(&mut self, block: BlockId, key: &BlockKey, group: u8) -> bool {
        let bucket = self.bucket(key, group);
        let mut new = true;
        let mut last = 0;
        let mut at = self.heads[bucket];
        while at != 0 {
            new &= !self.holds(at, key, group);
            last = at;
            at = self.next[at as usize];
        }
        match last {
            0 => self.heads[bucket] = block.0,
            last => self.next[last as usize] = block.0,
        }
        self.keys[block.at()] = key.0;
        self.groups[block.at()] = group;
        self.next[block.at()] = 0;
        self.len += 1;
        new
    }

    /// Takes out a block that is in the index. Tells whether it was the last of its key.
    pub(crate) fn remove(&mut self, block: BlockId) -> bool {
        let (key, group) = self.entry(block);
        let bucket = self.bucket(&key, group);
        let mut gone = true;
        let mut last = 0;
        let mut at = self.heads[bucket];
        while at != 0 {
            let next = self.next[at as usize];
            if at == block.0 {
                match last {
                    0 => self.heads[bucket] = next,
                    last => self.next[last as usize] = next,
                }
            } else {
                gone &= !self.holds(at, &key, group);
                last = at;
            }
            at = next;
        }
        self.len -= 1;
        gone
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.heads.fill(0);
        self.len = 0;
    }

    /// Gives the index room for `num_blocks` blocks. `cached` are the blocks in it, all of them below
    /// `num_blocks`.
    pub(crate) fn resize(&mut self, num_blocks: usize, cached: impl Iterator<Item = BlockId>) {
        let old = std::mem::replace(self, Self::new(num_blocks));
        for block in cached {
            let (key, group) = old.entry(block);
            self.insert(block, &key, group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u64) -> BlockKey {
        BlockKey([n, n ^ 1, 0, 0])
    }

    #[test]
    fn duplicates_are_found_oldest_first() {
        let mut index = Index::new(8);
        assert!(index.insert(BlockId(3), &key(5), 0));
        assert!(!index.insert(BlockId(1), &key(5), 0));
        assert!(index.insert(BlockId(2), &key(5), 1));
        // Keys that share a bucket: 8 buckets, so 13 falls where 5 does.
        assert!(index.insert(BlockId(4), &key(13), 0));
        assert_eq!(index.find(&key(5), 0), Some(BlockId(3)));
        assert_eq!(index.find(&key(5), 1), Some(BlockId(2)));
        assert!(!index.remove(BlockId(3)));
        assert_eq!(index.find(&key(5), 0), Some(BlockId(1)));
        assert_eq!(index.find(&key(13), 0), Some(BlockId(4)));
        assert!(index.remove(BlockId(1)));
        assert_eq!(index.find(&key(5), 0), None);
        assert_eq!(index.len(), 2);
        index.clear();
        assert_eq!(index.find(&key(13), 0), None);
    }

    #[test]
    fn resizing_keeps_the_entries() {
        let mut index = Index::new(16);
        for block in 1..10 {
            index.insert(BlockId(block), &key(u64::from(block) % 4), 0);
        }
        index.resize(100, (1..10).map(BlockId));
        assert_eq!(index.len(), 9);
        assert_eq!(index.find(&key(3), 0), Some(BlockId(3)));
        assert_eq!(index.find(&key(0), 0), Some(BlockId(4)));
    }
}
