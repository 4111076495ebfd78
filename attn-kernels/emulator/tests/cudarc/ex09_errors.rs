//! 09: mistakes at the border: each is refused with its code, and nothing else suffers.

use cudarc::driver::{CudaContext, DriverError, LaunchConfig, PushKernelArg, result, sys};
use std::ptr::without_provenance_mut;

use crate::fails_with;
use sys::CUresult::*;

pub(crate) fn main() -> Result<(), DriverError> {
    // Before anything is initialized, and then without a context.
    fails_with(result::device::get_count(), CUDA_ERROR_NOT_INITIALIZED);
    result::init()?;
    // SAFETY: a call that is refused.
    fails_with(unsafe { result::malloc_sync(16) }, CUDA_ERROR_INVALID_CONTEXT);

    let context = CudaContext::new(0)?;
    let stream = context.default_stream();
    memory()?;
    handles()?;
    launches(&context)?;
    texts();

    // SAFETY: refused: an address that is no memory, and tables that are not there.
    unsafe {
        let mut place = 0;
        let mapped =
            sys::cuMemHostGetDevicePointer_v2(&raw mut place, without_provenance_mut(16), 0);
        fails_with(mapped.result(), CUDA_ERROR_INVALID_VALUE);
        let mut table = std::ptr::null();
        let id = sys::CUuuid { bytes: [0; 16] };
        fails_with(sys::cuGetExportTable(&raw mut table, &id).result(), CUDA_ERROR_NOT_SUPPORTED);
    }

    // All of that left the context as it was.
    assert_eq!(stream.clone_dtoh(&stream.clone_htod(&[1_u8, 2, 3])?)?, [1, 2, 3]);
    Ok(())
}

fn memory() -> Result<(), DriverError> {
    // SAFETY: what is wrong is refused before it is used.
    unsafe {
        fails_with(result::malloc_sync(0), CUDA_ERROR_INVALID_VALUE);
        fails_with(result::malloc_sync(1 << 50), CUDA_ERROR_OUT_OF_MEMORY);
        let ptr = result::malloc_sync(64)?;
        fails_with(result::memset_d8_sync(ptr, 0, 65), CUDA_ERROR_INVALID_VALUE);
        fails_with(result::memset_d8_sync(ptr - 1, 0, 1), CUDA_ERROR_INVALID_VALUE);
        fails_with(result::memcpy_htod_sync(ptr + 60, &[0_u64]), CUDA_ERROR_INVALID_VALUE);
        fails_with(result::memcpy_dtod_sync(ptr, ptr + 32, 33), CUDA_ERROR_INVALID_VALUE);
        fails_with(
            sys::cuMemcpyDtoH_v2(std::ptr::null_mut(), ptr, 8).result(),
            CUDA_ERROR_INVALID_VALUE,
        );
        fails_with(sys::cuMemsetD32_v2(ptr + 2, 0, 1).result(), CUDA_ERROR_INVALID_VALUE);
        fails_with(result::free_sync(ptr + 8), CUDA_ERROR_INVALID_VALUE);
        result::free_sync(ptr)?;
        fails_with(result::free_sync(ptr), CUDA_ERROR_INVALID_VALUE);
        fails_with(result::memset_d8_sync(ptr, 0, 1), CUDA_ERROR_INVALID_VALUE);
        result::free_sync(0)?;
    }
    Ok(())
}

fn handles() -> Result<(), DriverError> {
    // SAFETY: what is wrong is refused before it is used.
    unsafe {
        let event = result::event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING)?;
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking)?;
        // Never recorded, so there is no time; an event is no stream; a stream is destroyed once.
        fails_with(result::event::elapsed(event, event), CUDA_ERROR_INVALID_HANDLE);
        fails_with(result::stream::synchronize(event.cast()), CUDA_ERROR_INVALID_HANDLE);
        fails_with(result::event::record(stream.cast(), stream), CUDA_ERROR_INVALID_HANDLE);
        result::stream::destroy(stream)?;
        fails_with(result::stream::destroy(stream), CUDA_ERROR_INVALID_HANDLE);
        fails_with(result::stream::synchronize(stream), CUDA_ERROR_INVALID_HANDLE);
        result::event::destroy(event)?;
        fails_with(result::event::query(event), CUDA_ERROR_INVALID_HANDLE);
        fails_with(result::module::unload(without_provenance_mut(64)), CUDA_ERROR_INVALID_HANDLE);
        fails_with(
            result::ctx::set_current(without_provenance_mut(64)),
            CUDA_ERROR_INVALID_CONTEXT,
        );
        let created = sys::cuStreamCreate(std::ptr::null_mut(), 0).result();
        fails_with(created, CUDA_ERROR_INVALID_VALUE);
    }
    Ok(())
}

fn launches(context: &std::sync::Arc<CudaContext>) -> Result<(), DriverError> {
    let stream = context.default_stream();
    let module = crate::kernels(context)?;
    let turn = module.load_function("turn")?;
    let mut x = stream.alloc_zeros::<f32>(128)?;
    for (grid, block) in [(0, 128), (1, 0), (1, 129), (1, 2048)] {
        let config =
            LaunchConfig { grid_dim: (grid, 1, 1), block_dim: (block, 1, 1), shared_mem_bytes: 0 };
        // SAFETY: refused before it runs.
        let launched = unsafe { stream.launch_builder(&turn).arg(&mut x).launch(config) };
        fails_with(launched, CUDA_ERROR_INVALID_VALUE);
    }
    // Arguments in one packed buffer, of the right length and of a wrong one.
    // SAFETY: the buffer holds the one pointer that the kernel takes.
    unsafe {
        let launch = |bytes: usize| {
            let address = leak_address(&x, &stream);
            let mut extra = [
                without_provenance_mut(1),
                (&raw const address).cast_mut().cast(),
                without_provenance_mut(2),
                (&raw const bytes).cast_mut().cast(),
                std::ptr::null_mut(),
            ];
            let (none, extra) = (std::ptr::null_mut(), extra.as_mut_ptr());
            let stream = stream.cu_stream();
            sys::cuLaunchKernel(turn.cu_function(), 1, 1, 1, 128, 1, 1, 0, stream, none, extra)
                .result()
        };
        launch(8)?;
        fails_with(launch(12), CUDA_ERROR_INVALID_VALUE);
    }
    stream.synchronize()
}

fn leak_address(x: &cudarc::driver::CudaSlice<f32>, stream: &cudarc::driver::CudaStream) -> u64 {
    use cudarc::driver::DevicePtr;
    x.device_ptr(stream).0
}

fn texts() {
    let error = DriverError(CUDA_ERROR_INVALID_VALUE);
    assert_eq!(error.error_name().unwrap(), c"CUDA_ERROR_INVALID_VALUE");
    assert!(format!("{error}").contains("invalid argument"), "{error}");
    assert_eq!(DriverError(CUDA_SUCCESS).error_name().unwrap(), c"CUDA_SUCCESS");
}

pub(crate) fn init_fails() -> Result<(), DriverError> {
    fails_with(CudaContext::new(0), CUDA_ERROR_INVALID_VALUE);
    fails_with(result::device::get_count(), CUDA_ERROR_NOT_INITIALIZED);
    Ok(())
}
