//! The contract of a backend, and the checks that all backends share.

use crate::attention::AttentionShape;
use crate::batch::Batch;
use crate::error::Error;
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

/// Checks the block ids of [`Backend::copy_blocks`].
pub(crate) fn check_copies(shape: &CacheShape, copies: &[(u32, u32)]) -> Result<(), Error> {
    let num_blocks = shape.num_blocks;
    for (index, &(src, dst)) in copies.iter().enumerate() {
        for (name, block) in [("source", src), ("destination", dst)] {
            if block as usize >= num_blocks {
                let place = format!("copies[{index}] {name}");
                return Err(Error::BlockOutOfRange { place, block, num_blocks });
            }
        }
    }
    Ok(())
}
