//! Memory of a device, freed in its stream's order, and page-locked memory of the host.

use std::ptr::NonNull;
use std::sync::Arc;

use cudarc::driver::{CudaStream, DriverError, result, sys};

/// Makes the context of a stream current. cudarc's own way returns what earlier calls recorded
/// instead, and then does not: no choice for what must be freed or waited for.
fn bind(stream: &CudaStream) -> Result<(), DriverError> {
    // SAFETY: the stream keeps its context.
    unsafe { result::ctx::set_current(stream.context().cu_ctx()) }
}

/// Waits until everything in a stream is done, whatever earlier calls recorded.
pub(super) fn wait(stream: &CudaStream) -> Result<(), DriverError> {
    bind(stream)?;
    // SAFETY: the stream is there as long as it is borrowed.
    unsafe { result::stream::synchronize(stream.cu_stream()) }
}

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
        context.record_err(bind(&self.stream));
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

/// Page-locked memory of the host, from [`CudaDevice`](super::CudaDevice) as a
/// [`Driver`](crate::cuda::Driver); freed when dropped, once the device is done.
#[derive(Debug)]
pub struct CudaPinned {
    start: NonNull<u8>,
    bytes: usize,
    stream: Arc<CudaStream>,
}

// SAFETY: the memory is owned, and an allocation of the driver is of no thread.
unsafe impl Send for CudaPinned {}

impl CudaPinned {
    pub(super) fn zeroed(stream: &Arc<CudaStream>, bytes: usize) -> Result<Self, DriverError> {
        // SAFETY: the context is current, which the caller sees to; the result is owned by `Self`.
        let start = unsafe { result::malloc_host(bytes, 0) }?;
        let start = NonNull::new(start.cast::<u8>())
            .ok_or(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY))?;
        // SAFETY: just allocated, of that size.
        unsafe { start.write_bytes(0, bytes) };
        Ok(Self { start, bytes, stream: stream.clone() })
    }
}

impl AsRef<[u8]> for CudaPinned {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: allocated and filled by `zeroed`, borrowed as `self` is.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }
}

impl AsMut<[u8]> for CudaPinned {
    fn as_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and alone.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }
}

impl Drop for CudaPinned {
    fn drop(&mut self) {
        let context = self.stream.context();
        // A transfer may still be under way.
        context.record_err(wait(&self.stream));
        // SAFETY: allocated by `zeroed`, freed once.
        context.record_err(unsafe { result::free_host(self.start.as_ptr().cast()) });
    }
}
