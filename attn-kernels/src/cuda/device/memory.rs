//! Memory of a device, freed in its stream's order, and page-locked memory of the host.

use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

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

/// Whether a stream is being captured into a graph.
pub(super) fn is_captured(stream: &CudaStream) -> Result<bool, DriverError> {
    bind(stream)?;
    // SAFETY: the stream is there as long as it is borrowed.
    let status = unsafe { result::stream::is_capturing(stream.cu_stream()) }?;
    Ok(status != sys::CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE)
}

/// The stream that memory is of. What is let go while it is being captured is freed afterwards: what
/// frees would become a part of the graph, or end the capture.
#[derive(Debug)]
pub(super) struct Owner {
    stream: Arc<CudaStream>,
    let_go: Mutex<Vec<Block>>,
}

/// Memory as the driver knows it.
#[derive(Debug)]
enum Block {
    /// From the stream's pool.
    Pooled(sys::CUdeviceptr),
    Plain(sys::CUdeviceptr),
    /// Page-locked, of the host.
    Host(NonNull<u8>),
}

// SAFETY: an allocation of the driver is of no thread.
unsafe impl Send for Block {}

impl Owner {
    pub(super) fn new(stream: Arc<CudaStream>) -> Self {
        Self { stream, let_go: Mutex::default() }
    }

    /// Frees what was let go, unless the stream is being captured.
    pub(super) fn free(&self) {
        self.free_with(None);
    }

    fn free_with(&self, block: Option<Block>) {
        let context = self.stream.context();
        let mut let_go = self.let_go.lock().unwrap_or_else(PoisonError::into_inner);
        let_go.extend(block);
        if let_go.is_empty() {
            return;
        }
        let captured = is_captured(&self.stream);
        if matches!(captured, Ok(true)) {
            return;
        }
        // Where that cannot be told the device has failed, and freeing tells nothing new.
        context.record_err(captured);
        for block in let_go.drain(..) {
            context.record_err(self.free_block(&block));
        }
    }

    fn free_block(&self, block: &Block) -> Result<(), DriverError> {
        bind(&self.stream)?;
        // SAFETY: allocated below, and freed once: its owner is gone. The pool frees it after what
        // the stream still does with it, the plain form waits for the device, and for a transfer from
        // or to memory of the host there is a wait here.
        unsafe {
            match *block {
                Block::Pooled(at) => result::free_async(at, self.stream.cu_stream()),
                Block::Plain(at) => result::free_sync(at),
                Block::Host(start) => {
                    let waited = wait(&self.stream);
                    result::free_host(start.as_ptr().cast()).and(waited)
                }
            }
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.free();
    }
}

/// An allocation of a [`CudaDevice`](super::CudaDevice), freed when dropped.
#[derive(Debug)]
pub struct CudaMemory {
    pub(super) at: sys::CUdeviceptr,
    pub(super) bytes: usize,
    owner: Arc<Owner>,
    /// Whether it came from the stream's pool.
    pooled: bool,
}

impl CudaMemory {
    /// Allocates and fills with zeros.
    pub(super) fn zeroed(
        owner: &Arc<Owner>,
        bytes: usize,
        pooled: bool,
    ) -> Result<Self, DriverError> {
        let stream = owner.stream.cu_stream();
        // SAFETY: the context is current, which the caller sees to; the result is owned by `memory`.
        let at = unsafe {
            match pooled {
                true => result::malloc_async(stream, bytes),
                false => result::malloc_sync(bytes),
            }
        }?;
        let memory = Self { at, bytes, owner: owner.clone(), pooled };
        // SAFETY: the range was just allocated, in this stream.
        unsafe { result::memset_d8_async(at, 0, bytes, stream) }?;
        Ok(memory)
    }

    /// Whether it is of this stream's.
    pub(super) fn is_of(&self, owner: &Arc<Owner>) -> bool {
        Arc::ptr_eq(&self.owner, owner)
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
        let block = if self.pooled { Block::Pooled(self.at) } else { Block::Plain(self.at) };
        self.owner.free_with(Some(block));
    }
}

/// Page-locked memory of the host, from [`CudaDevice`](super::CudaDevice) as a
/// [`Driver`](crate::cuda::Driver); freed when dropped, once the device is done.
#[derive(Debug)]
pub struct CudaPinned {
    start: NonNull<u8>,
    bytes: usize,
    owner: Arc<Owner>,
}

// SAFETY: the memory is owned, and an allocation of the driver is of no thread.
unsafe impl Send for CudaPinned {}

impl CudaPinned {
    pub(super) fn zeroed(owner: &Arc<Owner>, bytes: usize) -> Result<Self, DriverError> {
        // SAFETY: the context is current, which the caller sees to; the result is owned by `Self`.
        let start = unsafe { result::malloc_host(bytes, 0) }?;
        let start = NonNull::new(start.cast::<u8>())
            .ok_or(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY))?;
        // SAFETY: just allocated, of that size.
        unsafe { start.write_bytes(0, bytes) };
        Ok(Self { start, bytes, owner: owner.clone() })
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
        self.owner.free_with(Some(Block::Host(self.start)));
    }
}
