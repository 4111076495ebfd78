//! Memory on the device: tensors, and the blocks of a cache.

use std::ops::Range;
use std::sync::Arc;

use fp8_format::ElementType;

use super::kept::Kept;
use crate::error::Error;

/// A tensor on the device, or a part of one; made by [`CudaBackend`](super::CudaBackend). A clone
/// is the same memory, which is freed with the last of them.
#[derive(Debug)]
pub struct CudaTensor<M> {
    pub(crate) memory: Arc<M>,
    /// Where it begins in its memory, in bytes.
    pub(crate) offset: usize,
    pub(crate) len: usize,
    pub(crate) element: ElementType,
}

impl<M> Clone for CudaTensor<M> {
    fn clone(&self) -> Self {
        Self { memory: self.memory.clone(), ..*self }
    }
}

/// Kernels read and write 16 bytes at a time.
const ALIGN: usize = 16;

impl<M> CudaTensor<M> {
    /// Elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What its elements are.
    pub fn element(&self) -> ElementType {
        self.element
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> usize {
        self.len * self.element.size()
    }

    /// The memory it is in, and where in it, in bytes: what a [`Driver`](super::Driver) takes.
    pub fn memory(&self) -> (&M, usize) {
        (&self.memory, self.offset)
    }

    /// A part of it, the same memory: `range` counts elements, and begins at a multiple of 16 bytes.
    ///
    /// # Errors
    ///
    /// [`Error::View`].
    pub fn view(&self, range: Range<usize>) -> Result<Self, Error> {
        let size = self.element.size();
        let within = range.start <= range.end && range.end <= self.len;
        let at = range.start.saturating_mul(size);
        if !within || !at.is_multiple_of(ALIGN) {
            let (from, to, len) = (range.start, range.end, self.len);
            return Err(Error::View { from, to, len, align: ALIGN / size });
        }
        Ok(Self { offset: self.offset + at, len: range.len(), ..self.clone() })
    }

    /// Refuses what is not f32.
    pub(crate) fn require_f32(&self, name: &'static str) -> Result<(), Error> {
        match self.element {
            ElementType::F32 => Ok(()),
            other => Err(Error::TensorType { name, element_type: other.name(), expected: "f32" }),
        }
    }
}

/// K or V blocks on the device.
#[derive(Debug)]
pub struct CudaBuffer<M> {
    pub(crate) memory: M,
    pub(crate) bytes: usize,
    /// Dynamic scales, `[blocks][num_kv_heads][block_size]` f32; `None` without any.
    pub(crate) scales: Option<M>,
    /// The scales that calls gave last, one per KV head.
    pub(crate) given: Kept<u32, M>,
    /// Q's, one per query head; of K's buffer alone.
    pub(crate) q: Kept<u32, M>,
}

impl<M> CudaBuffer<M> {
    /// The size of its codes in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_within_and_aligned() {
        let whole =
            CudaTensor { memory: Arc::new(()), offset: 0, len: 100, element: ElementType::F16 };
        let part = whole.view(16..90).unwrap();
        let part = part.view(8..20).unwrap();
        assert_eq!((part.offset, part.len(), part.bytes()), (48, 12, 24));
        assert!(whole.view(96..100).is_ok() && whole.view(100..100).is_err(), "200 is no multiple");
        assert!(whole.view(96..101).is_err() && part.view(0..13).is_err());
        #[allow(clippy::reversed_empty_ranges)]
        let reversed = whole.view(8..0);
        assert!(reversed.is_err());
        let error = whole.view(4..8).unwrap_err().to_string();
        assert_eq!(error, "elements 4..8 of 100: must be within, and begin at a multiple of 8");
        assert!(whole.require_f32("q").unwrap_err().to_string().contains("q is f16"));
    }
}
