//! The numbers this crate deals in: block ids, sequence ids, slots. Nothing else is ever stored.

use std::fmt;

/// One block of the pool. Block 0 is the null block: it is never allocated, and stands in a block
/// table where a sequence no longer keeps a block (behind a sliding window, for example).
#[repr(transparent)]
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId(pub(crate) u32);

impl BlockId {
    /// The null block.
    pub const NULL: Self = Self(0);

    /// The block's number: its index into the arrays of a device.
    #[inline]
    pub const fn index(self) -> u32 {
        self.0
    }

    /// Whether this is the null block.
    #[inline]
    pub const fn is_null(self) -> bool {
        self.0 == 0
    }

    #[inline]
    pub(crate) const fn at(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Debug for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b{}", self.0)
    }
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<u32> for BlockId {
    fn from(index: u32) -> Self {
        Self(index)
    }
}

impl From<BlockId> for u32 {
    fn from(block: BlockId) -> Self {
        block.0
    }
}

/// One sequence, by a number of the caller's choosing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeqId(pub u64);

impl fmt::Display for SeqId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One pin, see [`crate::PagedCache::pin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PinId(pub(crate) u64);

impl fmt::Display for PinId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where one token's keys and values are stored: `block × block_size + offset`.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u64);

impl Slot {
    #[inline]
    pub(crate) const fn new(block: BlockId, offset: usize, block_size: usize) -> Self {
        Self(block.0 as u64 * block_size as u64 + offset as u64)
    }

    /// The slot's number.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A whole block to be copied on the device, before the step that was being prepared runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockCopy {
    /// The block to read.
    pub src: BlockId,
    /// The block to write.
    pub dst: BlockId,
}
