//! Memory on the device: f32 tensors, and the blocks of a cache.

/// An f32 tensor on the device; made by [`CudaBackend::upload`](super::CudaBackend::upload).
#[derive(Debug)]
pub struct CudaTensor<M> {
    pub(crate) memory: M,
    pub(crate) len: usize,
}

impl<M> CudaTensor<M> {
    /// Elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// K or V blocks on the device.
#[derive(Debug)]
pub struct CudaBuffer<M> {
    pub(crate) memory: M,
    pub(crate) bytes: usize,
    /// Dynamic scales, `[blocks][num_kv_heads][block_size]` f32; `None` without any.
    pub(crate) scales: Option<M>,
}

impl<M> CudaBuffer<M> {
    /// The size of its codes in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
