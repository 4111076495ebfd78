//! 06: page-locked memory.

use cudarc::driver::{CudaContext, DriverError, LaunchConfig, PushKernelArg, result, sys};

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

/// A kernel works on memory of the host, at the address that the driver gives for it.
pub(crate) fn mapped() -> Result<(), DriverError> {
    let context = CudaContext::new(0)?;
    let can = sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY;
    assert_eq!(context.attribute(can)?, 1);
    let stream = context.new_stream()?;
    let scale = crate::kernels(&context)?.load_function("scale")?;
    let free = context.mem_get_info()?.0;
    // SAFETY: written before it is read.
    let mut host = unsafe { context.alloc_pinned::<f32>(64) }?;
    host.as_mut_slice()?.fill(4.0);
    assert_eq!(context.mem_get_info()?.0, free, "it takes nothing of the device's");

    let at = host.as_ptr()?.cast_mut();
    let of_host = |address| {
        let mut device = 0;
        // SAFETY: a place for one address.
        unsafe { sys::cuMemHostGetDevicePointer_v2(&raw mut device, address, 0) }.result()?;
        Ok(device)
    };
    let device = of_host(at.cast())?;
    assert_eq!(device, at.addr() as u64, "addresses are unified");
    assert_eq!(of_host(at.wrapping_add(7).cast())?, device + 28);
    let config = LaunchConfig { grid_dim: (1, 1, 1), block_dim: (64, 1, 1), shared_mem_bytes: 0 };
    // SAFETY: one thread for each of 64 values, to which the host comes back after the wait.
    unsafe { stream.launch_builder(&scale).arg(&device).launch(config) }?;
    stream.synchronize()?;
    // SAFETY: 64 values that nobody writes now. `as_slice` would ask no more: the launch took an address.
    assert_eq!(unsafe { std::slice::from_raw_parts(at, 64) }, [8.0; 64]);

    // A copy to that address, and from it by the address alone.
    let ones = stream.clone_htod(&[1.0_f32; 64])?;
    stream.synchronize()?;
    let mut out = [0.0_f32; 64];
    // SAFETY: 256 bytes in each of the three.
    unsafe {
        result::memcpy_htod_sync(device, &[1.0_f32; 64])?;
        assert_eq!(*at, 1.0);
        at.write_bytes(0, 64);
        let (to, from) = (device, cudarc::driver::DevicePtr::device_ptr(&ones, &stream).0);
        sys::cuMemcpy(to, from, 256).result()?;
        sys::cuMemcpy(out.as_mut_ptr().addr() as u64, device, 256).result()?;
    }
    assert_eq!(out, [1.0; 64]);

    // What is only registered is not mapped, and what was given back is no memory at all.
    let mut own = vec![0_u8; 64];
    // SAFETY: the vector outlives its registration.
    unsafe { sys::cuMemHostRegister_v2(own.as_mut_ptr().cast(), 64, 2) }.result()?;
    fails_with::<u64>(of_host(own.as_mut_ptr().cast()), CUDA_ERROR_NOT_SUPPORTED);
    // SAFETY: registered above.
    unsafe { sys::cuMemHostUnregister(own.as_mut_ptr().cast()) }.result()?;
    fails_with::<u64>(of_host(own.as_mut_ptr().cast()), CUDA_ERROR_INVALID_VALUE);
    drop(host);
    // SAFETY: the emulator finds the address out before it is touched.
    unsafe { stream.launch_builder(&scale).arg(&device).launch(config) }?;
    fails_with(stream.synchronize(), CUDA_ERROR_ILLEGAL_ADDRESS);
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
