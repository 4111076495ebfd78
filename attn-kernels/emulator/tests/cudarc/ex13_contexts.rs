//! 13: contexts: the stack of each thread, the primary one, and what ends with a context.

use cudarc::driver::{CudaContext, DriverError, result, sys};
use std::ptr::null_mut;

use crate::fails_with;
use sys::CUresult::*;

pub(crate) fn main() -> Result<(), DriverError> {
    primary()?;
    stack()?;
    limits()
}

/// Two owners share the primary context, which is gone with the second.
fn primary() -> Result<(), DriverError> {
    let (first, second) = (CudaContext::new(0)?, CudaContext::new(0)?);
    assert_eq!(first.cu_ctx(), second.cu_ctx());
    let data = first.default_stream().clone_htod(&[1_u8, 2])?;
    assert_eq!(second.default_stream().clone_dtoh(&data)?, [1, 2]);
    drop(data);
    drop(first);
    // SAFETY: a live context, and one call too many.
    unsafe {
        let ptr = result::malloc_sync(64)?;
        result::memset_d8_sync(ptr, 1, 64)?;
        let old = second.cu_ctx();
        drop(second);
        fails_with(result::memset_d8_sync(ptr, 1, 64), CUDA_ERROR_CONTEXT_IS_DESTROYED);
        fails_with(result::ctx::set_current(old), CUDA_ERROR_INVALID_CONTEXT);
        fails_with(result::primary_ctx::release(0), CUDA_ERROR_INVALID_CONTEXT);
        let third = CudaContext::new(0)?;
        fails_with(result::memset_d8_sync(ptr, 1, 64), CUDA_ERROR_INVALID_VALUE);
        let (free, total) = third.mem_get_info()?;
        assert_eq!(free, total, "the memory went with its context");
    }
    Ok(())
}

fn stack() -> Result<(), DriverError> {
    // SAFETY: contexts are used while they live.
    unsafe {
        let mut popped = null_mut();
        let a = result::ctx::create_v3(0, 0)?;
        let b = result::ctx::create_v3(0, 0)?;
        assert_eq!(result::ctx::get_current()?, Some(b));
        // What belongs to one context is no good in another.
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking)?;
        let event = result::event::create(sys::CUevent_flags::CU_EVENT_DEFAULT)?;
        sys::cuCtxPopCurrent_v2(&raw mut popped).result()?;
        assert_eq!((popped, result::ctx::get_current()?), (b, Some(a)));
        fails_with(result::stream::synchronize(stream), CUDA_ERROR_INVALID_CONTEXT);
        fails_with(result::event::record(event, null_mut()), CUDA_ERROR_INVALID_CONTEXT);
        // The device is one: memory of either is reached from both.
        let ptr = result::malloc_sync(8)?;
        result::memcpy_htod_sync(ptr, &[7_u64])?;
        sys::cuCtxPushCurrent_v2(b).result()?;
        let mut value = [0_u64];
        result::memcpy_dtoh_sync(&mut value, ptr)?;
        assert_eq!(value, [7]);

        sys::cuCtxDestroy_v2(b).result()?;
        assert_eq!(result::ctx::get_current()?, Some(a));
        fails_with(sys::cuCtxDestroy_v2(b).result(), CUDA_ERROR_INVALID_CONTEXT);
        fails_with(result::event::query(event), CUDA_ERROR_INVALID_HANDLE);
        // Another thread starts without a context.
        std::thread::spawn(|| assert_eq!(result::ctx::get_current(), Ok(None))).join().unwrap();
        sys::cuCtxDestroy_v2(a).result()?;
    }
    Ok(())
}

fn limits() -> Result<(), DriverError> {
    use sys::CUlimit::*;
    let context = CudaContext::new(0)?;
    context.set_limit(CU_LIMIT_STACK_SIZE, 4096)?;
    assert_eq!(context.get_limit(CU_LIMIT_STACK_SIZE)?, 4096);
    assert_eq!(context.get_limit(CU_LIMIT_MALLOC_HEAP_SIZE)?, 8 << 20);
    fails_with(context.get_limit(CU_LIMIT_MAX), CUDA_ERROR_UNSUPPORTED_LIMIT);
    let shared = sys::CUfunc_cache::CU_FUNC_CACHE_PREFER_SHARED;
    context.set_cache_config(shared)?;
    assert_eq!(context.get_cache_config()?, shared);
    Ok(())
}
