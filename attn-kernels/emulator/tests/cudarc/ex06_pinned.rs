//! 06: page-locked memory.

use cudarc::driver::{CudaContext, DriverError, result, sys};

use crate::fails_with;
use crate::gate::Gate;
use sys::CUresult::*;

pub(crate) fn main() -> Result<(), DriverError> {
    let context = CudaContext::new(0)?;
    let stream = context.new_stream()?;
    // SAFETY: written before it is read.
    let mut host = unsafe { context.alloc_pinned::<u64>(1000) }?;
    host.as_mut_slice()?.iter_mut().zip(0..).for_each(|(to, i)| *to = i);
    let device = stream.clone_htod(&host)?;
    // `as_mut_slice` waits for the copy that still reads it.
    host.as_mut_slice()?.fill(0);
    stream.memcpy_dtoh(&device, &mut host)?;
    assert!(host.as_slice()?.iter().zip(0..).all(|(value, i)| *value == i));
    drop(host);

    // Memory of the program's own can be registered, once, and has to be given up where it was.
    let mut own = vec![7_u8; 5000];
    let start = own.as_mut_ptr().cast();
    // SAFETY: the vector outlives its registration.
    unsafe {
        sys::cuMemHostRegister_v2(start, own.len(), 0).result()?;
        fails_with(
            sys::cuMemHostRegister_v2(start.byte_add(100), 8, 0).result(),
            CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED,
        );
        let copy = stream.clone_htod(&own)?;
        assert_eq!(stream.clone_dtoh(&copy)?, own);
        sys::cuMemHostUnregister(start).result()?;
        fails_with(sys::cuMemHostUnregister(start).result(), CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
        fails_with(result::free_host(start), CUDA_ERROR_INVALID_VALUE);
        fails_with(result::malloc_host(0, 0), CUDA_ERROR_INVALID_VALUE);
    }
    Ok(())
}

/// A program that writes over the source of a copy that may not have run: page-locked memory shows it,
/// pageable memory was staged at the call.
pub(crate) fn read_late() -> Result<(), DriverError> {
    let context = CudaContext::new(0)?;
    let stream = context.new_stream()?;
    // SAFETY: written before it is read.
    let pinned = unsafe { context.alloc_pinned::<u8>(16) }?;
    let at = pinned.as_ptr()?.cast_mut();
    let mut pageable = vec![1_u8; 16];
    // SAFETY: 16 bytes, in which nobody else is interested.
    unsafe { at.write_bytes(1, 16) };
    let (mut a, mut b) = (stream.alloc_zeros::<u8>(16)?, stream.alloc_zeros::<u8>(16)?);
    stream.synchronize()?;

    let gate = Gate::shut(&stream)?;
    stream.memcpy_htod(&pinned, &mut a)?;
    stream.memcpy_htod(&pageable, &mut b)?;
    // SAFETY: as above; `as_mut_slice` would have waited, and hidden the mistake.
    unsafe { at.write_bytes(2, 16) };
    pageable.fill(2);
    drop(gate);
    assert_eq!(stream.clone_dtoh(&a)?, [2; 16], "read when the copy ran");
    assert_eq!(stream.clone_dtoh(&b)?, [1; 16], "read at the call");
    Ok(())
}
