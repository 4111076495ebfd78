//! The contract of a backend, and the checks that all backends share.

use std::ops::Range;

use crate::attention::AttentionShape;
use crate::batch::Batch;
use crate::error::Error;
use crate::observe::{HeadAbsmax, MemoryStats};
use crate::plan::{Plan, check_length};
use crate::scales::LayerScales;
use crate::shape::{CacheShape, Side};

/// One layer's blocks in a backend's memory. The contents are the backend's own business.
#[derive(Debug)]
pub struct KvCache<B> {
    pub(crate) shape: CacheShape,
    pub(crate) k: B,
    pub(crate) v: B,
}

impl<B> KvCache<B> {
    /// The shape it was made with.
    pub fn shape(&self) -> &CacheShape {
        &self.shape
    }

    /// K's blocks.
    pub fn k(&self) -> &B {
        &self.k
    }

    /// V's blocks.
    pub fn v(&self) -> &B {
        &self.v
    }

    /// K's and V's blocks, to be filled from elsewhere.
    pub fn buffers_mut(&mut self) -> (&mut B, &mut B) {
        (&mut self.k, &mut self.v)
    }

    pub(crate) fn buffer(&self, side: Side) -> &B {
        match side {
            Side::K => &self.k,
            Side::V => &self.v,
        }
    }

    pub(crate) fn buffer_mut(&mut self, side: Side) -> &mut B {
        match side {
            Side::K => &mut self.k,
            Side::V => &mut self.v,
        }
    }
}

/// Where attention runs. Calls check all their arguments first and change nothing on an error.
pub trait Backend {
    /// The memory of one layer's K or V blocks.
    type Buffer;
    /// An f32 tensor to read: `&[f32]` on the CPU.
    type Input<'a>;
    /// An f32 tensor to write: `&mut [f32]` on the CPU.
    type Output<'a>;

    /// Allocates one layer's cache. Its blocks are zero.
    fn new_cache(&self, shape: CacheShape) -> Result<KvCache<Self::Buffer>, Error>;

    /// Checks a batch and cuts its work up: once per step, for every layer of that shape.
    fn plan(
        &self,
        cache: &CacheShape,
        attention: &AttentionShape,
        batch: &Batch,
    ) -> Result<Plan, Error>;

    /// Stores new K and V, `[tokens][num_kv_heads][head_dim]` each, dividing by the scales and
    /// rounding where the storage is quantized. Token `t` goes to
    /// `slots[t] = block × block_size + offset`; a negative slot is skipped. Where a slot is given
    /// twice the last token wins.
    fn append(
        &self,
        cache: &mut KvCache<Self::Buffer>,
        scales: &LayerScales,
        k: Self::Input<'_>,
        v: Self::Input<'_>,
        slots: &[i64],
    ) -> Result<(), Error>;

    /// As [`append`](Self::append), and notes the largest magnitude that each KV head stored:
    /// tokens without a slot do not count.
    fn append_observed(
        &self,
        cache: &mut KvCache<Self::Buffer>,
        scales: &LayerScales,
        k: Self::Input<'_>,
        v: Self::Input<'_>,
        slots: &[i64],
        seen: &mut HeadAbsmax,
    ) -> Result<(), Error> {
        let _ = (cache, scales, k, v, slots, seen);
        unsupported::<Self>("append_observed")
    }

    /// `out = softmax(softmax_scale · q·Kᵀ + mask) · V` for every row of the plan. `q` and `out`
    /// are `[rows][num_heads][head_dim]`; `lse`, if asked for, is `[rows][num_heads]`, the natural
    /// logarithm of the softmax's denominator. A row that sees no key gives 0 and −∞.
    fn attention(
        &self,
        plan: &Plan,
        cache: &KvCache<Self::Buffer>,
        scales: &LayerScales,
        q: Self::Input<'_>,
        out: Self::Output<'_>,
        lse: Option<Self::Output<'_>>,
    ) -> Result<(), Error>;

    /// Copies whole blocks, `(source, destination)`, in the order given.
    fn copy_blocks(
        &self,
        cache: &mut KvCache<Self::Buffer>,
        copies: &[(u32, u32)],
    ) -> Result<(), Error>;

    /// Copies whole blocks out of another cache, which differs in its number of blocks at most.
    fn copy_blocks_from(
        &self,
        cache: &mut KvCache<Self::Buffer>,
        source: &KvCache<Self::Buffer>,
        copies: &[(u32, u32)],
    ) -> Result<(), Error> {
        let _ = (cache, source, copies);
        unsupported::<Self>("copy_blocks_from")
    }

    /// Dequantizes the tokens at positions `tokens` of a sequence with that block table:
    /// `code × scale` into `k` and `v`, `[tokens][num_kv_heads][head_dim]` each. For tests, export
    /// and inspection; attention has no need of it.
    fn gather(
        &self,
        cache: &KvCache<Self::Buffer>,
        scales: &LayerScales,
        block_table: &[u32],
        tokens: Range<usize>,
        k: Self::Output<'_>,
        v: Self::Output<'_>,
    ) -> Result<(), Error> {
        let _ = (cache, scales, block_table, tokens, k, v);
        unsupported::<Self>("gather")
    }

    /// Copies blocks to the host, [`CacheShape::block_bytes`] each, in the order given. What the
    /// bytes mean is the backend's business; [`swap_in`](Self::swap_in) takes them back.
    fn swap_out(
        &self,
        cache: &KvCache<Self::Buffer>,
        blocks: &[u32],
        host: &mut [u8],
    ) -> Result<(), Error> {
        let _ = (cache, blocks, host);
        unsupported::<Self>("swap_out")
    }

    /// Copies blocks back from the host, into any blocks of a cache of the same shape, its number
    /// of blocks apart.
    fn swap_in(
        &self,
        cache: &mut KvCache<Self::Buffer>,
        blocks: &[u32],
        host: &[u8],
    ) -> Result<(), Error> {
        let _ = (cache, blocks, host);
        unsupported::<Self>("swap_in")
    }

    /// The memory under a cache.
    fn memory_stats(&self, cache: &KvCache<Self::Buffer>) -> MemoryStats {
        MemoryStats { bytes: cache.shape.bytes(), ..MemoryStats::default() }
    }
}

fn unsupported<B: ?Sized>(what: &str) -> Result<(), Error> {
    Err(Error::Unsupported { backend: std::any::type_name::<B>(), what: what.to_owned() })
}

/// Checks the arguments of [`Backend::append`] but for what only a device knows.
pub(crate) fn check_append(
    shape: &CacheShape,
    scales: &LayerScales,
    k: usize,
    v: usize,
    slots: &[i64],
) -> Result<(), Error> {
    scales.validate(shape, None)?;
    let expected = slots.len().saturating_mul(shape.num_kv_heads * shape.head_dim);
    check_length("k", k, expected, "slots × num_kv_heads × head_dim")?;
    check_length("v", v, expected, "slots × num_kv_heads × head_dim")?;
    let num_slots = shape.num_slots();
    match slots.iter().position(|&s| usize::try_from(s).is_ok_and(|s| s >= num_slots)) {
        Some(index) => Err(Error::SlotOutOfRange { index, slot: slots[index], num_slots }),
        None => Ok(()),
    }
}

/// Checks the block ids of [`Backend::copy_blocks`], and of
/// [`Backend::copy_blocks_from`] another cache.
pub(crate) fn check_copies(
    shape: &CacheShape,
    source: &CacheShape,
    copies: &[(u32, u32)],
) -> Result<(), Error> {
    let of = |num_blocks| CacheShape { num_blocks, ..source.clone() };
    if of(shape.num_blocks) != *shape {
        let (from, into) = (Box::new(source.clone()), Box::new(shape.clone()));
        return Err(Error::ShapeMismatch { from, into });
    }
    for (index, &(src, dst)) in copies.iter().enumerate() {
        check_block(source, src, || format!("copies[{index}] source"))?;
        check_block(shape, dst, || format!("copies[{index}] destination"))?;
    }
    Ok(())
}

fn check_block(
    shape: &CacheShape,
    block: u32,
    place: impl FnOnce() -> String,
) -> Result<(), Error> {
    let num_blocks = shape.num_blocks;
    match (block as usize) < num_blocks {
        true => Ok(()),
        false => Err(Error::BlockOutOfRange { place: place(), block, num_blocks }),
    }
}

/// Checks the arguments of [`Backend::swap_out`] and [`Backend::swap_in`].
pub(crate) fn check_swap(shape: &CacheShape, blocks: &[u32], host: usize) -> Result<(), Error> {
    for (index, &block) in blocks.iter().enumerate() {
        check_block(shape, block, || format!("blocks[{index}]"))?;
    }
    let expected = blocks.len().saturating_mul(shape.block_bytes());
    check_length("host", host, expected, "blocks × block_bytes")
}

/// Checks the arguments of [`Backend::gather`].
pub(crate) fn check_gather(
    shape: &CacheShape,
    scales: &LayerScales,
    block_table: &[u32],
    tokens: &Range<usize>,
    k: usize,
    v: usize,
) -> Result<(), Error> {
    scales.validate(shape, None)?;
    let (kv_len, len) = (tokens.end, block_table.len());
    let needed = kv_len.div_ceil(shape.block_size);
    if needed > len {
        return Err(Error::BlockTableTooShort { sequence: 0, kv_len, needed, len });
    }
    let expected = tokens.len().saturating_mul(shape.num_kv_heads * shape.head_dim);
    check_length("k", k, expected, "tokens × num_kv_heads × head_dim")?;
    check_length("v", v, expected, "tokens × num_kv_heads × head_dim")?;
    let used = tokens.start.min(kv_len) / shape.block_size..needed;
    for (index, &block) in block_table.iter().enumerate().take(used.end).skip(used.start) {
        check_block(shape, block, || format!("block table entry {index}"))?;
    }
    Ok(())
}
