//! 01: memory and copies.

use cudarc::driver::{CudaContext, DriverError, result};

pub(crate) fn main() -> Result<(), DriverError> {
    let context = CudaContext::new(0)?;
    let stream = context.default_stream();
    let host: Vec<u32> = (0..1000).collect();

    let mut device = stream.alloc_zeros::<u32>(1000)?;
    assert_eq!(stream.clone_dtoh(&device)?, [0; 1000]);
    stream.memcpy_htod(&host, &mut device)?;
    let mut copy = stream.clone_dtod(&device)?;
    assert_eq!(stream.clone_dtoh(&copy)?, host);

    // Views: the middle goes to the front.
    stream.memcpy_dtod(&device.slice(500..600), &mut copy.slice_mut(0..100))?;
    let mut part = [0; 101];
    stream.memcpy_dtoh(&copy.slice(0..101), &mut part)?;
    assert_eq!(part[..100], host[500..600]);
    assert_eq!(part[100], 100);
    stream.memset_zeros(&mut copy.slice_mut(1..))?;
    assert_eq!(stream.clone_dtoh(&copy)?[..3], [500, 0, 0]);

    let (free, total) = context.mem_get_info()?;
    assert!(free < total && total == context.total_mem()?, "{free} of {total}");
    drop((device, copy));
    context.synchronize()?;
    assert!(context.mem_get_info()?.0 > free);

    // The synchronous calls, on memory that is not stream-ordered.
    // SAFETY: the lengths are those of the allocation, which is freed once.
    unsafe {
        let ptr = result::malloc_sync(64)?;
        result::memset_d8_sync(ptr, 0xab, 64)?;
        result::memcpy_htod_sync(ptr + 8, &[1_u64])?;
        let mut bytes = [0_u8; 64];
        result::memcpy_dtoh_sync(&mut bytes, ptr)?;
        assert_eq!(bytes[7..17], [0xab, 1, 0, 0, 0, 0, 0, 0, 0, 0xab]);
        result::memcpy_dtod_sync(ptr + 32, ptr, 16)?;
        result::memcpy_dtoh_sync(&mut bytes, ptr)?;
        assert_eq!(bytes[39..42], [0xab, 1, 0]);
        result::free_sync(ptr)?;
    }
    Ok(())
}
