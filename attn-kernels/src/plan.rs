//! A checked batch and how its work is cut up: made once per step, used by every layer.

use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

use crate::attention::AttentionShape;
use crate::batch::{Batch, Sequence};
use crate::cpu::Work;
use crate::error::Error;
use crate::shape::CacheShape;

/// KV tokens per chunk, at absolute positions. Each chunk is reduced by itself and chunks are
/// merged left to right, so results do not depend on how work is cut up.
pub(crate) const CHUNK: usize = 256;

/// A batch checked against a cache and an attention shape.
#[derive(Debug, Clone)]
pub struct Plan {
    cache: CacheShape,
    attention: AttentionShape,
    batch: Batch,
    /// How the CPU backend cuts it up; empty where another backend made the plan.
    pub(crate) work: Work,
    /// What a CUDA backend has of it on its device, of a type that only the backend knows; `None` where
    /// another backend made the plan.
    pub(crate) cuda: Option<Arc<dyn Any + Send + Sync>>,
}

impl Plan {
    /// Checks everything a plan depends on: shapes, lengths, block tables.
    pub(crate) fn new(
        cache: &CacheShape,
        attention: &AttentionShape,
        batch: &Batch,
    ) -> Result<Self, Error> {
        attention.validate(cache)?;
        for (index, sequence) in batch.sequences().iter().enumerate() {
            check_sequence(cache, attention, batch, index, sequence)?;
        }
        let (cache, attention, batch) = (cache.clone(), attention.clone(), batch.clone());
        Ok(Self { cache, attention, batch, work: Work::default(), cuda: None })
    }

    /// The cache shape the plan was made for.
    pub fn cache(&self) -> &CacheShape {
        &self.cache
    }

    /// The attention it was made for.
    pub fn attention(&self) -> &AttentionShape {
        &self.attention
    }

    /// The batch it was made for.
    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// Query rows: the leading dimension of `q`, `out` and `lse`.
    pub fn num_rows(&self) -> usize {
        self.batch.num_rows()
    }

    /// Query heads per KV head.
    pub(crate) fn group_size(&self) -> usize {
        self.attention.num_heads / self.cache.num_kv_heads
    }

    /// The key positions that query token `i` of a sequence sees.
    pub(crate) fn visible(&self, sequence: &Sequence, i: usize) -> Range<usize> {
        let variant = &self.attention.variant;
        if !variant.causal {
            return 0..sequence.kv_len;
        }
        let end = sequence.kv_len - sequence.q_len + i + 1;
        end.saturating_sub(variant.window.unwrap_or(end))..end
    }

    /// Checks the tensors of one attention call.
    pub(crate) fn check_call(
        &self,
        cache: &CacheShape,
        q: usize,
        out: usize,
        lse: Option<usize>,
    ) -> Result<(), Error> {
        if *cache != self.cache {
            let (planned, cache) = (Box::new(self.cache.clone()), Box::new(cache.clone()));
            return Err(Error::PlanMismatch { planned, cache });
        }
        let row_heads = self.num_rows().saturating_mul(self.attention.num_heads);
        let elements = row_heads.saturating_mul(self.cache.head_dim);
        let shape = "rows × num_heads × head_dim";
        check_length("q", q, elements, shape)?;
        check_length("out", out, elements, shape)?;
        lse.map_or(Ok(()), |len| check_length("lse", len, row_heads, "rows × num_heads"))
    }
}

fn check_sequence(
    cache: &CacheShape,
    attention: &AttentionShape,
    batch: &Batch,
    sequence: usize,
    s: &Sequence,
) -> Result<(), Error> {
    let (q_len, kv_len) = (s.q_len, s.kv_len);
    if attention.variant.causal && q_len > kv_len {
        return Err(Error::QueryBeyondKv { sequence, q_len, kv_len });
    }
    let table = batch.table(s);
    let needed = kv_len.div_ceil(cache.block_size);
    if needed > table.len() {
        return Err(Error::BlockTableTooShort { sequence, kv_len, needed, len: table.len() });
    }
    // Entries past the last needed block are never read: tables may be padded with anything.
    match table[..needed].iter().position(|&b| b as usize >= cache.num_blocks) {
        Some(at) => Err(Error::BlockOutOfRange {
            place: format!("sequence {sequence}, block table entry {at}"),
            block: table[at],
            num_blocks: cache.num_blocks,
        }),
        None => Ok(()),
    }
}

/// A tensor's length against the one it must have.
pub(crate) fn check_length(
    name: &'static str,
    len: usize,
    expected: usize,
    shape: &'static str,
) -> Result<(), Error> {
    if len == expected {
        return Ok(());
    }
    Err(Error::BufferLength { name, len, expected, shape })
}
