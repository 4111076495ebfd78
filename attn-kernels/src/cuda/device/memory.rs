//! Memory of a device, freed in its stream's order.

use std::sync::Arc;

use cudarc::driver::{CudaStream, DriverError, result, sys};

/// An allocation of a [`CudaDevice`](super::CudaDevice), freed when dropped.
#[derive(Debug)]
pub struct CudaMemory {
    pub(super) at: sys::CUdeviceptr,
    pub(super) bytes: usize,
    stream: Arc<CudaStream>,
    /// Whether it came from the stream's pool.
    pooled: bool,
}

impl CudaMemory {
    /// Allocates and fills with zeros.
    pub(super) fn zeroed(
        stream: &Arc<CudaStream>,
        bytes: usize,
        pooled: bool,
    ) -> Result<Self, DriverError> {
        // SAFETY: the context is current, which the caller sees to; the result is owned by `memory`.
        let at = unsafe {
            match pooled {
                true => result::malloc_async(stream.cu_stream(), bytes),
                false => result::malloc_sync(bytes),
            }
        }?;
        let memory = Self { at, bytes, stream: stream.clone(), pooled };
        // SAFETY: the range was just allocated, in this stream.
        unsafe { result::memset_d8_async(at, 0, bytes, stream.cu_stream()) }?;
        Ok(memory)
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where it is on the device.
    pub fn address(&self) -> u64 {
        self.at
    }
}

impl Drop for CudaMemory {
    fn drop(&mut self) {
        let context = self.stream.context();
        context.record_err(context.bind_to_thread());
        // SAFETY: allocated by `zeroed`, freed once. The pool frees it after what the stream still
        // does with it; the plain form waits for the device.
        let freed = unsafe {
            match self.pooled {
                true => result::free_async(self.at, self.stream.cu_stream()),
                false => result::free_sync(self.at),
            }
        };
        context.record_err(freed);
    }
}
