//! 12: below the safe interface: rows with a pitch, what can be asked of a pointer, pools.

use cudarc::driver::{CudaContext, DriverError, result, sys};
use std::mem::MaybeUninit;

use crate::fails_with;
use sys::CUresult::*;

pub(crate) fn main() -> Result<(), DriverError> {
    let context = CudaContext::new(0)?;
    let stream = context.new_stream()?;
    rows(stream.cu_stream())?;
    pointers()?;
    pools(stream.cu_stream())?;
    functions();
    context.synchronize()
}

/// Three rows of ten bytes, out of a host array of rows of twelve, and back into one.
fn rows(stream: sys::CUstream) -> Result<(), DriverError> {
    let host: Vec<u8> = (0..36).collect();
    let mut back = [0xff_u8; 36];
    // SAFETY: all sizes are those of the arrays and of the allocation.
    unsafe {
        let (mut ptr, mut pitch) = (0, 0);
        sys::cuMemAllocPitch_v2(&raw mut ptr, &raw mut pitch, 10, 3, 4).result()?;
        assert!(pitch >= 10 && pitch % 256 == 0, "{pitch}");
        sys::cuMemsetD2D8Async(ptr, pitch, 9, 10, 3, stream).result()?;

        let mut there = blank();
        there.srcMemoryType = sys::CUmemorytype::CU_MEMORYTYPE_HOST;
        (there.srcHost, there.srcPitch, there.srcXInBytes) = (host.as_ptr().cast(), 12, 2);
        there.dstMemoryType = sys::CUmemorytype::CU_MEMORYTYPE_DEVICE;
        (there.dstDevice, there.dstPitch) = (ptr, pitch);
        (there.WidthInBytes, there.Height) = (8, 3);
        sys::cuMemcpy2DAsync_v2(&raw const there, stream).result()?;

        let mut home = blank();
        home.srcMemoryType = sys::CUmemorytype::CU_MEMORYTYPE_DEVICE;
        (home.srcDevice, home.srcPitch) = (ptr, pitch);
        home.dstMemoryType = sys::CUmemorytype::CU_MEMORYTYPE_HOST;
        (home.dstHost, home.dstPitch) = (back.as_mut_ptr().cast(), 12);
        (home.WidthInBytes, home.Height) = (10, 3);
        sys::cuMemcpy2DAsync_v2(&raw const home, stream).result()?;
        for row in 0..3 {
            let (from, to) = (&host[row * 12..][2..10], &back[row * 12..][..12]);
            assert_eq!((&to[..8], &to[8..]), (from, &[9, 9, 0xff, 0xff][..]), "row {row}");
        }

        home.Height = 4;
        fails_with(sys::cuMemcpy2D_v2(&raw const home).result(), CUDA_ERROR_INVALID_VALUE);
        (home.Height, home.srcPitch) = (3, 9);
        fails_with(sys::cuMemcpy2D_v2(&raw const home).result(), CUDA_ERROR_INVALID_VALUE);
        home.srcMemoryType = sys::CUmemorytype::CU_MEMORYTYPE_ARRAY;
        fails_with(sys::cuMemcpy2D_v2(&raw const home).result(), CUDA_ERROR_INVALID_VALUE);
        home.srcPitch = 10;
        fails_with(sys::cuMemcpy2D_v2(&raw const home).result(), CUDA_ERROR_NOT_SUPPORTED);

        sys::cuMemsetD2D16_v2(ptr, pitch, 0x0102, 5, 2).result()?;
        sys::cuMemsetD32Async(ptr + pitch as u64, 0x0304_0506, 1, stream).result()?;
        sys::cuStreamSynchronize(std::ptr::null_mut()).result()?;
        sys::cuStreamSynchronize(stream).result()?;
        let mut row = [0_u8; 10];
        result::memcpy_dtoh_sync(&mut row, ptr)?;
        assert_eq!(row, [2, 1, 2, 1, 2, 1, 2, 1, 2, 1]);
        result::free_sync(ptr)?;
    }
    Ok(())
}

fn blank() -> sys::CUDA_MEMCPY2D {
    // SAFETY: integers and pointers, and an enum that is set before use: 1 is one of its values.
    unsafe {
        let mut copy = MaybeUninit::<sys::CUDA_MEMCPY2D>::zeroed();
        (*copy.as_mut_ptr()).srcMemoryType = sys::CUmemorytype::CU_MEMORYTYPE_HOST;
        (*copy.as_mut_ptr()).dstMemoryType = sys::CUmemorytype::CU_MEMORYTYPE_HOST;
        copy.assume_init()
    }
}

fn pointers() -> Result<(), DriverError> {
    use sys::CUpointer_attribute::*;
    // SAFETY: each attribute is asked for with a place of its type.
    unsafe {
        let device = result::malloc_sync(100)?;
        let host = result::malloc_host(64, 0)?;
        let (mut base, mut bytes) = (0, 0);
        sys::cuMemGetAddressRange_v2(&raw mut base, &raw mut bytes, device + 99).result()?;
        assert_eq!((base, bytes), (device, 100));
        let kind = |ptr: u64| {
            let mut kind = 0_u32;
            let place = (&raw mut kind).cast();
            let which = CU_POINTER_ATTRIBUTE_MEMORY_TYPE;
            sys::cuPointerGetAttribute(place, which, ptr).result().map(|()| kind)
        };
        assert_eq!(kind(device + 5), Ok(2));
        assert_eq!(kind(host.addr() as u64 + 63), Ok(1));
        fails_with(kind(device + 100), CUDA_ERROR_INVALID_VALUE);
        // In the unified space a copy finds out by itself which side is which.
        host.cast::<u8>().write_bytes(5, 64);
        sys::cuMemcpy(device, host.addr() as u64, 64).result()?;
        let mut back = [0_u8; 64];
        sys::cuMemcpy((&raw mut back).addr() as u64, device, 64).result()?;
        assert_eq!(back, [5; 64]);
        result::free_host(host)?;
        result::free_sync(device)?;
    }
    Ok(())
}

fn pools(stream: sys::CUstream) -> Result<(), DriverError> {
    use sys::CUmemPool_attribute::*;
    // SAFETY: the pool is used while it lives, and attributes have places of their types.
    unsafe {
        let mut props = MaybeUninit::<sys::CUmemPoolProps>::zeroed().assume_init();
        props.allocType = sys::CUmemAllocationType::CU_MEM_ALLOCATION_TYPE_PINNED;
        props.location.type_ = sys::CUmemLocationType::CU_MEM_LOCATION_TYPE_DEVICE;
        let pool = result::mem_pool::create(&raw const props)?;
        let used = || {
            let mut bytes = 0_u64;
            let place = (&raw mut bytes).cast();
            result::mem_pool::get_attribute(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, place)?;
            Ok::<u64, DriverError>(bytes)
        };
        let a = result::mem_pool::alloc_async(pool, 1000, stream)?;
        let b = result::mem_pool::alloc_async(pool, 24, stream)?;
        assert_eq!(used()?, 1024);
        result::free_async(a, stream)?;
        fails_with(result::free_async(a, stream), CUDA_ERROR_INVALID_VALUE);
        fails_with(result::memset_d8_async(a, 0, 1, stream), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(used()?, 24);
        result::free_sync(b)?;
        let mut keep = 1_u64 << 20;
        let place = (&raw mut keep).cast();
        result::mem_pool::set_attribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, place)?;
        keep = 0;
        result::mem_pool::get_attribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, place)?;
        assert_eq!(keep, 1 << 20);
        result::device::set_mem_pool(0, pool)?;
        assert_eq!(result::device::get_mem_pool(0)?, pool);
        result::mem_pool::destroy(pool)?;
        let default = result::device::get_default_mem_pool(0)?;
        assert_eq!(result::device::get_mem_pool(0)?, default);
        fails_with(result::mem_pool::destroy(default), CUDA_ERROR_INVALID_VALUE);
        fails_with(result::mem_pool::trim_to(pool, 0), CUDA_ERROR_INVALID_HANDLE);
    }
    Ok(())
}

/// Functions by name, as libraries look them up.
fn functions() {
    let find = |name: &std::ffi::CStr, version: i32| {
        let (mut address, mut status) = (std::ptr::null_mut(), MaybeUninit::uninit());
        // SAFETY: places of the types that are wanted.
        unsafe {
            let (address, status) = (&raw mut address, status.as_mut_ptr());
            sys::cuGetProcAddress_v2(name.as_ptr(), address, version, 0, status).result()
        }
        .map(|()| address)
    };
    let address = find(c"cuDriverGetVersion", 12000).expect("is there");
    // SAFETY: the type of cuDriverGetVersion.
    let version: extern "C" fn(*mut i32) -> sys::CUresult = unsafe { std::mem::transmute(address) };
    let mut number = 0;
    assert_eq!(version(&raw mut number), CUDA_SUCCESS);
    assert!(number >= 12000, "{number}");
    fails_with(find(c"cuNoSuchFunction", 12000), CUDA_ERROR_NOT_FOUND);
    fails_with(find(c"cuInit", 99000), CUDA_ERROR_NOT_FOUND);
}
