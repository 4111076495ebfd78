//! Writing a cache from several threads: its rows cut by head, each head handed out once.

use std::marker::PhantomData;

use crate::shape::RowMap;

/// The rows that one head has in a cache's memory.
pub(crate) struct HeadRows<'a> {
    data: *mut u8,
    len: usize,
    map: RowMap,
    block_size: usize,
    head: usize,
    borrow: PhantomData<&'a mut [u8]>,
}

// SAFETY: it stands for rows that no other has: as `&mut [u8]`, it may move to another thread.
unsafe impl Send for HeadRows<'_> {}

impl<'a> HeadRows<'a> {
    /// All heads' rows of `bytes`.
    ///
    /// # Panics
    /// If rows of different heads would overlap: a mistake in how memory is laid out.
    pub(crate) fn split(
        bytes: &'a mut [u8],
        map: RowMap,
        block_size: usize,
        heads: usize,
    ) -> impl Iterator<Item = Self> {
        let token_major = map.head == map.len && map.token == heads * map.len;
        let head_major = map.token == map.len && map.head == block_size * map.len;
        assert!(token_major || head_major);
        assert!(map.block == heads * block_size * map.len);
        let (data, len) = (bytes.as_mut_ptr(), bytes.len());
        (0..heads).map(move |head| Self { data, len, map, block_size, head, borrow: PhantomData })
    }

    /// The row of the token at `offset` in a block.
    ///
    /// # Panics
    /// If there is no such row.
    pub(crate) fn row(&mut self, block: usize, offset: usize) -> &mut [u8] {
        let at = self.map.at(block, offset, self.head);
        assert!(offset < self.block_size && at.end <= self.len);
        // SAFETY: the row is inside the slice borrowed mutably for 'a. `split` made sure that
        // blocks, and in them the rows of (offset, head), do not overlap, and gave each head to
        // one `HeadRows`, which is borrowed as long as the row is.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(at.start), self.map.len) }
    }
}
