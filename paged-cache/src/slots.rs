//! The slots of a run of tokens, read off the block table as they are asked for.

use std::ops::Range;

use crate::ids::{BlockId, Slot};

/// The slots of consecutive tokens of one sequence, in order. Borrows the block table; copies nothing.
#[derive(Clone, Debug)]
pub struct Slots<'a> {
    table: &'a [BlockId],
    block_size: usize,
    tokens: Range<usize>,
}

impl<'a> Slots<'a> {
    pub(crate) fn new(table: &'a [BlockId], block_size: usize, tokens: Range<usize>) -> Self {
        Self { table, block_size, tokens }
    }

    /// The positions in the sequence these slots are for.
    pub fn positions(&self) -> Range<usize> {
        self.tokens.clone()
    }
}

impl Iterator for Slots<'_> {
    type Item = Slot;

    #[inline]
    fn next(&mut self) -> Option<Slot> {
        let token = self.tokens.next()?;
        let offset = token & (self.block_size - 1);
        let block = self.table[token >> self.block_size.trailing_zeros()];
        Some(Slot::new(block, offset, self.block_size))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.tokens.size_hint()
    }
}

impl ExactSizeIterator for Slots<'_> {}
