//! The shape of one layer's cache: how many blocks of how many tokens, heads and elements, stored how.

use std::ops::Range;

use fp8_format::ElementType;

use crate::error::Error;

/// The order of the axes inside one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum KvLayout {
    /// `[block_size][num_kv_heads][head_dim]`: a token's heads lie together (vLLM's default).
    #[default]
    Nhd,
    /// `[num_kv_heads][block_size][head_dim]`: a head's tokens lie together.
    Hnd,
}

/// The shape of one layer's K and V blocks. K and V may be stored as different types.
///
/// The fields are public and may be changed; every backend call checks them with
/// [`validate`](Self::validate).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct CacheShape {
    /// Blocks in the pool, the null block 0 included.
    pub num_blocks: usize,
    /// Tokens per block: a power of two, 8 to 256.
    pub block_size: usize,
    /// Heads of K and V.
    pub num_kv_heads: usize,
    /// Elements per head: a multiple of 8, at most [`MAX_HEAD_DIM`](Self::MAX_HEAD_DIM).
    pub head_dim: usize,
    /// The order of the axes inside a block.
    pub layout: KvLayout,
    /// How K is stored.
    pub k_type: ElementType,
    /// How V is stored.
    pub v_type: ElementType,
    /// Whether K has a scale per slot and KV head, written by append: `max(absmax / MAX, 1e-6)` of
    /// the finite elements. Of quantized types only.
    pub k_per_token_head: bool,
    /// The same of V.
    pub v_per_token_head: bool,
}

/// Which of a cache's two tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    K,
    V,
}

/// Where the rows of one side lie in its memory, in bytes: a row is what one token has of one head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowMap {
    pub(crate) block: usize,
    pub(crate) token: usize,
    pub(crate) head: usize,
    pub(crate) len: usize,
}

impl RowMap {
    pub(crate) const fn at(&self, block: usize, offset: usize, head: usize) -> Range<usize> {
        let from = block * self.block + offset * self.token + head * self.head;
        from..from + self.len
    }
}

impl CacheShape {
    /// The largest head dimension.
    pub const MAX_HEAD_DIM: usize = 1024;

    /// A shape in the [`KvLayout::Nhd`] layout; it is checked where it is used.
    pub const fn new(
        num_blocks: usize,
        block_size: usize,
        num_kv_heads: usize,
        head_dim: usize,
        k_type: ElementType,
        v_type: ElementType,
    ) -> Self {
        Self {
            num_blocks,
            block_size,
            num_kv_heads,
            head_dim,
            layout: KvLayout::Nhd,
            k_type,
            v_type,
            k_per_token_head: false,
            v_per_token_head: false,
        }
    }

    /// The same shape with dynamic scales, per slot and KV head, for K, for V, or for both.
    pub const fn with_per_token_head(mut self, k: bool, v: bool) -> Self {
        (self.k_per_token_head, self.v_per_token_head) = (k, v);
        self
    }

    /// The same shape in another layout.
    pub const fn with_layout(mut self, layout: KvLayout) -> Self {
        self.layout = layout;
        self
    }

    /// Checks every dimension and that the total size can be addressed.
    pub fn validate(&self) -> Result<(), Error> {
        for (name, value) in [("num_blocks", self.num_blocks), ("num_kv_heads", self.num_kv_heads)]
        {
            if value == 0 {
                return Err(Error::ZeroDimension { name });
            }
        }
        if !self.block_size.is_power_of_two() || !(8..=256).contains(&self.block_size) {
            return Err(Error::BlockSize { value: self.block_size });
        }
        let d = self.head_dim;
        if d == 0 || !d.is_multiple_of(8) || d > Self::MAX_HEAD_DIM {
            return Err(Error::HeadDim { value: d, limit: Self::MAX_HEAD_DIM });
        }
        for (side, dynamic, stored) in
            [("K", self.k_per_token_head, self.k_type), ("V", self.v_per_token_head, self.v_type)]
        {
            if dynamic && !stored.is_quantized() {
                return Err(Error::DynamicUnquantized { side, element_type: stored.name() });
            }
        }
        let too_large = |reason| Error::CacheTooLarge { num_blocks: self.num_blocks, reason };
        if u32::try_from(self.num_blocks).is_err() {
            return Err(too_large("block ids are 32 bits"));
        }
        // 8 bytes per element bounds every storage type, for K and V together, scales included.
        [self.num_blocks, self.block_size, self.num_kv_heads, d, 8]
            .into_iter()
            .try_fold(1usize, usize::checked_mul)
            .filter(|&bytes| isize::try_from(bytes).is_ok())
            .map(|_| ())
            .ok_or_else(|| too_large("its size in bytes overflows"))
    }

    /// Tokens the cache holds: `num_blocks × block_size`.
    pub const fn num_slots(&self) -> usize {
        self.num_blocks * self.block_size
    }

    /// Elements of K (or V) in one block.
    pub const fn block_elements(&self) -> usize {
        self.block_size * self.num_kv_heads * self.head_dim
    }

    /// Bytes of K and V in one block, dynamic scales included.
    pub const fn block_bytes(&self) -> usize {
        let scales = 4 * self.block_size * self.num_kv_heads;
        self.block_elements() * (self.k_type.size() + self.v_type.size())
            + scales * (self.k_per_token_head as usize + self.v_per_token_head as usize)
    }

    /// Bytes of K and V in all blocks.
    pub const fn bytes(&self) -> usize {
        self.num_blocks * self.block_bytes()
    }

    pub(crate) const fn stored(&self, side: Side) -> ElementType {
        match side {
            Side::K => self.k_type,
            Side::V => self.v_type,
        }
    }

    pub(crate) const fn per_token_head(&self, side: Side) -> bool {
        match side {
            Side::K => self.k_per_token_head,
            Side::V => self.v_per_token_head,
        }
    }

    /// Where a side's codes lie.
    pub(crate) const fn codes(&self, side: Side) -> RowMap {
        let size = self.stored(side).size();
        RowMap {
            block: self.block_elements() * size,
            token: self.token_stride() * size,
            head: self.head_stride() * size,
            len: self.head_dim * size,
        }
    }

    /// Where a side's dynamic scales lie: `[blocks][num_kv_heads][block_size]` f32 in any layout,
    /// so that a head's are read together. Without such scales all of it is empty.
    pub(crate) const fn scales(&self, side: Side) -> RowMap {
        if !self.per_token_head(side) {
            return RowMap { block: 0, token: 0, head: 0, len: 0 };
        }
        let head = 4 * self.block_size;
        RowMap { block: head * self.num_kv_heads, token: 4, head, len: 4 }
    }

    /// The block and the offset in it of a slot; `None` where the slot is negative.
    pub(crate) fn locate(&self, slot: i64) -> Option<(usize, usize)> {
        let slot = usize::try_from(slot).ok()?;
        Some((slot / self.block_size, slot % self.block_size))
    }

    /// Elements between two neighbouring tokens of one head.
    pub(crate) const fn token_stride(&self) -> usize {
        match self.layout {
            KvLayout::Nhd => self.num_kv_heads * self.head_dim,
            KvLayout::Hnd => self.head_dim,
        }
    }

    /// Elements between two neighbouring heads of one token.
    pub(crate) const fn head_stride(&self) -> usize {
        match self.layout {
            KvLayout::Nhd => self.head_dim,
            KvLayout::Hnd => self.block_size * self.head_dim,
        }
    }
}
