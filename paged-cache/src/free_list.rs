//! A list of blocks threaded through the blocks themselves: push, pop and remove are O(1) and
//! allocate nothing. Two lists of the pool share one array of links, since a block is in one at most.

use crate::ids::BlockId;

/// The links of every block: `[previous, next]`, where 0, the null block, ends a list.
pub(crate) type Links = Vec<[u32; 2]>;

const PREV: usize = 0;
const NEXT: usize = 1;

/// One doubly linked list over [`Links`].
#[derive(Clone, Debug, Default)]
pub(crate) struct FreeList {
    head: BlockId,
    tail: BlockId,
    len: usize,
}

impl FreeList {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn push_front(&mut self, links: &mut Links, block: BlockId) {
        links[block.at()] = [0, self.head.0];
        match self.head {
            BlockId::NULL => self.tail = block,
            head => links[head.at()][PREV] = block.0,
        }
        self.head = block;
        self.len += 1;
    }

    pub(crate) fn push_back(&mut self, links: &mut Links, block: BlockId) {
        links[block.at()] = [self.tail.0, 0];
        match self.tail {
            BlockId::NULL => self.head = block,
            tail => links[tail.at()][NEXT] = block.0,
        }
        self.tail = block;
        self.len += 1;
    }

    pub(crate) fn pop_front(&mut self, links: &mut Links) -> Option<BlockId> {
        let block = self.head;
        if block.is_null() {
            return None;
        }
        self.remove(links, block);
        Some(block)
    }

    /// Takes out a block that is in this list.
    pub(crate) fn remove(&mut self, links: &mut Links, block: BlockId) {
        let [prev, next] = links[block.at()];
        match prev {
            0 => self.head = BlockId(next),
            _ => links[prev as usize][NEXT] = next,
        }
        match next {
            0 => self.tail = BlockId(prev),
            _ => links[next as usize][PREV] = prev,
        }
        self.len -= 1;
    }
}
