//! The oracle: attention in f64, one row after another, as the formula reads.

mod attend;

use self::attend::Rows;
use crate::attention::AttentionShape;
use std::ops::Range;

use crate::backend::{Backend, KvCache, check_append, check_copies, check_gather};
use crate::batch::Batch;
use crate::element;
use crate::error::Error;
use crate::plan::Plan;
use crate::scales::LayerScales;
use crate::shape::{CacheShape, Side};

/// The plain definition of what every backend computes, in f64, with no thought for speed.
///
/// Storage is the same as elsewhere (codes are made and read by scalar code), so that its result
/// on the stored values is the one others are measured against.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReferenceBackend;

/// K or V blocks of the [`ReferenceBackend`].
#[derive(Debug, Clone, PartialEq)]
pub struct ReferenceBuffer {
    codes: Vec<u8>,
    /// Dynamic scales; empty without any.
    scales: Vec<u8>,
}

impl ReferenceBuffer {
    /// The stored codes, block after block.
    pub fn bytes(&self) -> &[u8] {
        &self.codes
    }

    /// The stored codes, to be filled from elsewhere.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.codes
    }

    /// The dynamic scales, `[blocks][num_kv_heads][block_size]` f32, little endian; empty without
    /// any.
    pub fn scales(&self) -> &[u8] {
        &self.scales
    }

    fn new(shape: &CacheShape, side: Side) -> Self {
        let bytes = |block| vec![0; shape.num_blocks * block];
        Self { codes: bytes(shape.codes(side).block), scales: bytes(shape.scales(side).block) }
    }
}

impl KvCache<ReferenceBuffer> {
    /// What one token has of one head: the codes as numbers, and their scale.
    fn row(
        &self,
        side: Side,
        scales: &LayerScales,
        block: usize,
        offset: usize,
        head: usize,
    ) -> (Vec<f32>, f32) {
        let (shape, buffer) = (&self.shape, self.buffer(side));
        let mut numbers = vec![0.0; shape.head_dim];
        let codes = &buffer.codes[shape.codes(side).at(block, offset, head)];
        element::decode(shape.stored(side), codes, &mut numbers);
        let own = &buffer.scales[shape.scales(side).at(block, offset, head)];
        let scale = own.try_into().map_or(scales.of(side).get(head), f32::from_le_bytes);
        (numbers, scale)
    }
}

impl Backend for ReferenceBackend {
    type Buffer = ReferenceBuffer;
    type Input<'a> = &'a [f32];
    type Output<'a> = &'a mut [f32];

    fn new_cache(&self, shape: CacheShape) -> Result<KvCache<ReferenceBuffer>, Error> {
        shape.validate()?;
        let [k, v] = [Side::K, Side::V].map(|side| ReferenceBuffer::new(&shape, side));
        Ok(KvCache { shape, k, v })
    }

    fn plan(
        &self,
        cache: &CacheShape,
        attention: &AttentionShape,
        batch: &Batch,
    ) -> Result<Plan, Error> {
        Plan::new(cache, attention, batch)
    }

    fn append(
        &self,
        cache: &mut KvCache<ReferenceBuffer>,
        scales: &LayerScales,
        k: &[f32],
        v: &[f32],
        slots: &[i64],
    ) -> Result<(), Error> {
        check_append(&cache.shape, scales, k.len(), v.len(), slots)?;
        let (heads, d) = (cache.shape.num_kv_heads, cache.shape.head_dim);
        for (token, &slot) in slots.iter().enumerate() {
            let Some((block, offset)) = cache.shape.locate(slot) else { continue };
            for (side, src) in [(Side::K, k), (Side::V, v)] {
                let (stored, codes, own) =
                    (cache.shape.stored(side), cache.shape.codes(side), cache.shape.scales(side));
                let buffer = cache.buffer_mut(side);
                for (head, row) in src[token * heads * d..][..heads * d].chunks(d).enumerate() {
                    let codes = &mut buffer.codes[codes.at(block, offset, head)];
                    let own = &mut buffer.scales[own.at(block, offset, head)];
                    element::store(stored, row, scales.of(side).get(head), codes, own);
                }
            }
        }
        Ok(())
    }

    fn attention(
        &self,
        plan: &Plan,
        cache: &KvCache<ReferenceBuffer>,
        scales: &LayerScales,
        q: &[f32],
        out: &mut [f32],
        mut lse: Option<&mut [f32]>,
    ) -> Result<(), Error> {
        plan.check_call(&cache.shape, q.len(), out.len(), lse.as_ref().map(|l| l.len()))?;
        scales.validate(&cache.shape, Some(plan.attention().num_heads))?;
        let (heads, d, group) =
            (plan.attention().num_heads, cache.shape.head_dim, plan.group_size());
        let rows = Rows { plan, cache, scales };
        for sequence in plan.batch().sequences() {
            for kv_head in 0..cache.shape.num_kv_heads {
                let [k, v] = [Side::K, Side::V].map(|side| rows.tokens(side, sequence, kv_head));
                for (i, g) in (0..sequence.q_len).flat_map(|i| (0..group).map(move |g| (i, g))) {
                    let head = kv_head * group + g;
                    let row = (sequence.row + i) * heads + head;
                    let at = row * d..(row + 1) * d;
                    let (q, out) = (&q[at.clone()], &mut out[at]);
                    let row_lse = rows.attend((sequence, i), head, (&k, &v), q, out);
                    if let Some(lse) = &mut lse {
                        lse[row] = row_lse;
                    }
                }
            }
        }
        Ok(())
    }

    fn copy_blocks(
        &self,
        cache: &mut KvCache<ReferenceBuffer>,
        copies: &[(u32, u32)],
    ) -> Result<(), Error> {
        check_copies(&cache.shape, &cache.shape, copies)?;
        for side in [Side::K, Side::V] {
            let sizes = [cache.shape.codes(side).block, cache.shape.scales(side).block];
            let ReferenceBuffer { codes, scales } = cache.buffer_mut(side);
            for (bytes, size) in [codes, scales].into_iter().zip(sizes) {
                for &(src, dst) in copies {
                    let (src, dst) = (src as usize * size, dst as usize * size);
                    bytes.copy_within(src..src + size, dst);
                }
            }
        }
        Ok(())
    }

    fn gather(
        &self,
        cache: &KvCache<ReferenceBuffer>,
        scales: &LayerScales,
        block_table: &[u32],
        tokens: Range<usize>,
        k: &mut [f32],
        v: &mut [f32],
    ) -> Result<(), Error> {
        let CacheShape { num_kv_heads, head_dim, block_size, .. } = cache.shape;
        check_gather(&cache.shape, scales, block_table, &tokens, k.len(), v.len())?;
        for (side, out) in [(Side::K, k), (Side::V, v)] {
            let places = tokens.clone().flat_map(|t| (0..num_kv_heads).map(move |h| (t, h)));
            for ((t, head), out) in places.zip(out.chunks_exact_mut(head_dim)) {
                let block = block_table[t / block_size] as usize;
                let (codes, scale) = cache.row(side, scales, block, t % block_size, head);
                out.iter_mut().zip(codes).for_each(|(out, code)| *out = code * scale);
            }
        }
        Ok(())
    }
}
