//! What the backend asks of a device: memory, copies, launches, all in one stream.

use std::ffi::c_void;
use std::ops::Range;

use cudarc::driver::{result, sys};

use super::memory::{CudaMemory, CudaPinned, wait};
use super::{CudaDevice, failed};
use crate::cuda::driver::{Driver, Launch};
use crate::error::Error;

impl Driver for CudaDevice {
    type Memory = CudaMemory;
    type Pinned = CudaPinned;

    fn has(&self, module: &str, kernel: &str) -> Result<bool, Error> {
        Ok(self.with_kernel(module, kernel, |_| Ok(()))?.is_some())
    }

    fn missing(&self, module: &str, kernel: &str) -> Error {
        self.no_kernel(module, kernel)
    }

    fn shared_limit(&self) -> u32 {
        self.0.shared_limit
    }

    fn resident_ctas(
        &self,
        module: &str,
        kernel: &str,
        threads: u32,
        shared: u32,
    ) -> Result<usize, Error> {
        let per_multiprocessor = self.with_kernel(module, kernel, |found| {
            found.allow(kernel, shared)?;
            let threads = i32::try_from(threads).unwrap_or(i32::MAX);
            // SAFETY: the function is of a loaded module.
            unsafe {
                result::occupancy::max_active_block_per_multiprocessor(
                    found.function,
                    threads,
                    shared as usize,
                )
            }
            .map_err(|error| failed(&format!("occupancy of {kernel}"), error))
        })?;
        let found = per_multiprocessor.ok_or_else(|| self.no_kernel(module, kernel))?;
        Ok(usize::try_from(found).unwrap_or(0) * self.0.multiprocessors)
    }

    fn alloc(&self, bytes: usize) -> Result<CudaMemory, Error> {
        self.refuse_captured("allocate")?;
        self.bind()?;
        self.0.owner.free();
        let pooled = self.0.context.has_async_alloc();
        CudaMemory::zeroed(&self.0.owner, bytes, pooled).map_err(|error| match error.0 {
            sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => {
                let free = result::mem_get_info().map_or(0, |(free, _)| free);
                Error::DeviceMemory { need: bytes, free }
            }
            _ => failed(&format!("an allocation of {bytes} bytes"), error),
        })
    }

    fn owns(&self, memory: &CudaMemory) -> bool {
        memory.is_of(&self.0.owner)
    }

    fn address(&self, memory: &CudaMemory) -> u64 {
        memory.at
    }

    fn write(&self, memory: &CudaMemory, offset: usize, bytes: &[u8]) -> Result<(), Error> {
        let at = self.within(memory, offset, bytes.len())?;
        self.refuse_captured("send from the host")?;
        self.bind()?;
        // SAFETY: the range is within a live allocation; pageable memory is read at the call ("API
        // synchronization behavior" of the driver API), and for other memory there is a wait.
        unsafe { result::memcpy_htod_async(at, bytes, self.0.stream.cu_stream()) }
            .and_then(|()| if is_pageable(bytes) { Ok(()) } else { wait(&self.0.stream) })
            .map_err(|error| failed("a copy to the device", error))
    }

    fn pinned(&self, bytes: usize) -> Result<CudaPinned, Error> {
        self.refuse_captured("allocate")?;
        self.bind()?;
        CudaPinned::zeroed(&self.0.owner, bytes)
            .map_err(|error| failed(&format!("{bytes} bytes of page-locked memory"), error))
    }

    fn write_pinned(
        &self,
        memory: &CudaMemory,
        offset: usize,
        from: &CudaPinned,
        range: Range<usize>,
    ) -> Result<(), Error> {
        let all = from.as_ref();
        let Some(bytes) = all.get(range.clone()) else {
            let (offset, bytes) = (range.start, range.end.saturating_sub(range.start));
            return Err(Error::MemoryRange { offset, bytes, size: all.len() });
        };
        let at = self.within(memory, offset, bytes.len())?;
        self.refuse_captured("send from the host")?;
        self.bind()?;
        // SAFETY: the range is within a live allocation; the page-locked memory is borrowed until it
        // was read.
        unsafe { result::memcpy_htod_async(at, bytes, self.0.stream.cu_stream()) }
            .and_then(|()| wait(&self.0.stream))
            .map_err(|error| failed("a copy to the device", error))
    }

    fn read(&self, memory: &CudaMemory, offset: usize, bytes: &mut [u8]) -> Result<(), Error> {
        let at = self.within(memory, offset, bytes.len())?;
        self.refuse_captured("read from the device")?;
        self.bind()?;
        // SAFETY: the range is within a live allocation; `bytes` is borrowed until the copy is done.
        unsafe { result::memcpy_dtoh_async(bytes, at, self.0.stream.cu_stream()) }
            .map_err(|error| failed("a copy from the device", error))?;
        // Even where there is an error to tell: the copy writes to memory of the caller.
        wait(&self.0.stream).map_err(|error| failed("work of the device", error))
    }

    fn copy(
        &self,
        from: (&CudaMemory, usize),
        to: (&CudaMemory, usize),
        bytes: usize,
    ) -> Result<(), Error> {
        let (source, target) =
            (self.within(from.0, from.1, bytes)?, self.within(to.0, to.1, bytes)?);
        self.bind()?;
        // SAFETY: both ranges are within live allocations.
        unsafe { result::memcpy_dtod_async(target, source, bytes, self.0.stream.cu_stream()) }
            .map_err(|error| failed("a copy on the device", error))
    }

    unsafe fn launch(&self, launch: &Launch<'_>) -> Result<(), Error> {
        let Launch { module, kernel, grid, threads, shared, argument } = *launch;
        let found = self.with_kernel(module, kernel, |found| {
            found.allow(kernel, shared)?;
            Ok(*found)
        })?;
        let found = found.ok_or_else(|| self.no_kernel(module, kernel))?;
        if argument.len() != found.argument {
            let (len, expected) = (argument.len(), found.argument);
            return Err(Error::ArgumentBytes { kernel: kernel.to_owned(), len, expected });
        }
        let mut parameters = [argument.as_ptr().cast_mut().cast::<c_void>()];
        // SAFETY: the function is of a loaded module and takes one argument of that many bytes,
        // which the driver copies at the call. What it has for addresses is the caller's to promise.
        unsafe {
            result::launch_kernel(
                found.function,
                (grid[0], grid[1], grid[2]),
                (threads, 1, 1),
                shared,
                self.0.stream.cu_stream(),
                &mut parameters,
            )
        }
        .map_err(|error| failed(&format!("launch of {kernel}"), error))
    }

    fn synchronize(&self) -> Result<(), Error> {
        self.refuse_captured("wait for the device")?;
        wait(&self.0.stream)
            .and_then(|()| self.0.context.check_err())
            .map_err(|error| failed("work of the device", error))
    }
}

/// Whether memory of the host is such that the driver reads it at the call: it knows nothing of it. What
/// is page-locked (by us or by the caller) it reads when the copy's turn comes.
fn is_pageable(bytes: &[u8]) -> bool {
    let unknown = |at: &u8| {
        let mut kind = 0u32;
        let which = sys::CUpointer_attribute::CU_POINTER_ATTRIBUTE_MEMORY_TYPE;
        let at = std::ptr::from_ref(at) as sys::CUdeviceptr;
        // SAFETY: the attribute is a number of 32 bits; the address is asked about, not read.
        let told = unsafe { sys::cuPointerGetAttribute((&raw mut kind).cast(), which, at) };
        told == sys::CUresult::CUDA_ERROR_INVALID_VALUE
    };
    [bytes.first(), bytes.last()].into_iter().flatten().all(unknown)
}

impl CudaDevice {
    /// The address of a range of an allocation.
    fn within(
        &self,
        memory: &CudaMemory,
        offset: usize,
        bytes: usize,
    ) -> Result<sys::CUdeviceptr, Error> {
        if !self.owns(memory) {
            return Err(Error::ForeignMemory { name: "the allocation" });
        }
        let end = offset.checked_add(bytes).filter(|&end| end <= memory.bytes);
        match end {
            Some(_) => Ok(memory.at + offset as u64),
            None => Err(Error::MemoryRange { offset, bytes, size: memory.bytes }),
        }
    }
}
