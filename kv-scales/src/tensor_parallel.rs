//! The share of one tensor-parallel rank: heads are sliced, or KV heads replicated where there
//! are more ranks than heads.

use crate::Error;
use crate::names::Slot;
use crate::scale::{LayerScales, Scale, ScaleValue};

impl LayerScales {
    /// The scales of `rank` of `size` ranks.
    ///
    /// # Errors
    /// When there is no such rank, or the heads do not divide among the ranks.
    pub fn shard(&self, rank: usize, size: usize) -> Result<LayerScales, Error> {
        if rank >= size {
            return Err(Error::NoSuchRank { rank, size });
        }
        let mut share = self.clone();
        if !self.has_attention() {
            return Ok(share);
        }
        let part = |slot, heads| Part::of(heads, rank, size, self.layer, slot);
        let q = part(Slot::Q, self.shape.num_heads)?;
        let kv = part(Slot::K, self.shape.num_kv_heads)?;
        if !q.slices {
            return Err(uneven(self.layer, Slot::Q, self.shape.num_heads, size));
        }
        share.shape.num_heads = q.len;
        share.shape.num_kv_heads = kv.len;
        for (scale, part) in [(&mut share.q, q), (&mut share.k, kv), (&mut share.v, kv)] {
            part.take(scale);
        }
        Ok(share)
    }
}

/// The heads `start .. start + len` of all.
#[derive(Clone, Copy)]
struct Part {
    start: usize,
    len: usize,
    /// Cut into ranks; else one head that several ranks share.
    slices: bool,
}

impl Part {
    fn of(heads: usize, rank: usize, size: usize, layer: usize, slot: Slot) -> Result<Self, Error> {
        if heads > 0 && heads.is_multiple_of(size) {
            let len = heads / size;
            Ok(Part { start: rank * len, len, slices: true })
        } else if heads > 0 && size.is_multiple_of(heads) {
            Ok(Part { start: rank / (size / heads), len: 1, slices: false })
        } else {
            Err(uneven(layer, slot, heads, size))
        }
    }

    fn take(self, scale: &mut Scale) {
        if let ScaleValue::PerHead(values) = &scale.value
            && let Some(own) = values.get(self.start..self.start + self.len)
        {
            scale.value = ScaleValue::PerHead(own.into());
        }
    }
}

fn uneven(layer: usize, slot: Slot, heads: usize, parts: usize) -> Error {
    Error::UnevenHeads { layer, slot, heads, parts }
}
