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

    /// The blocks from front to back.
    pub(crate) fn iter<'a>(&self, links: &'a Links) -> impl Iterator<Item = BlockId> + use<'a> {
        let first = Some(self.head).filter(|block| !block.is_null());
        std::iter::successors(first, |block| {
            Some(BlockId(links[block.at()][NEXT])).filter(|block| !block.is_null())
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn order(list: &FreeList, links: &Links) -> Vec<u32> {
        let order: Vec<u32> = list.iter(links).map(BlockId::index).collect();
        assert_eq!(order.len(), list.len());
        order
    }

    #[test]
    fn keeps_its_order_under_pushes_pops_and_removals() {
        let mut links = vec![[0; 2]; 8];
        let mut list = FreeList::default();
        assert_eq!(list.pop_front(&mut links), None);
        for block in 1..=5 {
            list.push_back(&mut links, BlockId(block));
        }
        list.push_front(&mut links, BlockId(6));
        assert_eq!(order(&list, &links), [6, 1, 2, 3, 4, 5]);
        list.remove(&mut links, BlockId(3));
        list.remove(&mut links, BlockId(6));
        list.remove(&mut links, BlockId(5));
        assert_eq!(order(&list, &links), [1, 2, 4]);
        assert_eq!(list.pop_front(&mut links), Some(BlockId(1)));
        list.push_back(&mut links, BlockId(7));
        assert_eq!(order(&list, &links), [2, 4, 7]);
        for block in [7, 4, 2] {
            list.remove(&mut links, BlockId(block));
        }
        assert_eq!(order(&list, &links), []);
        list.push_front(&mut links, BlockId(2));
        assert_eq!(order(&list, &links), [2]);
    }
}
