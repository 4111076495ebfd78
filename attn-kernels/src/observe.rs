//! What a backend tells beside results: the magnitudes it stored, the memory it holds.

use crate::error::Error;

/// The largest magnitude of K and of V per KV head, over the tokens that were stored: what a
/// calibration per head needs. NaN once a NaN was stored. Feed the same one to every append.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadAbsmax {
    /// Of K, one per KV head.
    pub k: Box<[f32]>,
    /// Of V, one per KV head.
    pub v: Box<[f32]>,
}

impl HeadAbsmax {
    /// Zero for every head.
    pub fn new(num_kv_heads: usize) -> Self {
        Self { k: vec![0.0; num_kv_heads].into(), v: vec![0.0; num_kv_heads].into() }
    }

    pub(crate) fn validate(&self, num_kv_heads: usize) -> Result<(), Error> {
        for (name, values) in [("absmax of K", &self.k), ("absmax of V", &self.v)] {
            if values.len() != num_kv_heads {
                let (len, expected) = (values.len(), num_kv_heads);
                return Err(Error::PerHeadLength { name, len, expected });
            }
        }
        Ok(())
    }
}

/// Raises `seen` to the magnitude of `row`; NaN wins over everything.
pub(crate) fn note_absmax(seen: &mut f32, row: &[f32]) {
    let absmax = fp8_format::absmax(row);
    if absmax.is_nan() || absmax > *seen {
        *seen = absmax;
    }
}

/// The memory under one layer's cache, as it is at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct MemoryStats {
    /// Bytes of K and V, dynamic scales included.
    pub bytes: usize,
    /// Whether the system accepted the request for huge pages.
    pub huge_pages: bool,
    /// Bytes that lie on huge pages now: pages are granted one by one, when they are first
    /// written. 0 where the system does not say.
    pub huge_bytes: usize,
}
