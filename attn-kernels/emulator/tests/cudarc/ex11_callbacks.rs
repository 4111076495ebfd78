//! 11: functions of the host in a stream.

use cudarc::driver::{CudaContext, DriverError, result, sys};
use std::ffi::c_void;
use std::sync::atomic::{AtomicU32, Ordering};

static CALLED: AtomicU32 = AtomicU32::new(0);
static INNER: AtomicU32 = AtomicU32::new(0);

unsafe extern "C" fn count(data: *mut c_void) {
    CALLED.fetch_add(data.addr() as u32, Ordering::SeqCst);
    // Not permitted in here.
    // SAFETY: a call that is refused.
    let code = unsafe { sys::cuCtxSynchronize() };
    INNER.store(code as u32, Ordering::SeqCst);
}

pub(crate) fn main() -> Result<(), DriverError> {
    let context = CudaContext::new(0)?;
    let (stream, other) = (context.new_stream()?, context.new_stream()?);
    for value in [1, 10, 100] {
        let data = std::ptr::without_provenance_mut(value);
        // SAFETY: `count` takes its data as a number.
        unsafe { result::stream::launch_host_function(stream.cu_stream(), count, data) }?;
    }
    other.join(&stream)?;
    other.synchronize()?;
    assert_eq!(CALLED.load(Ordering::SeqCst), 111);
    assert_eq!(INNER.load(Ordering::SeqCst), sys::CUresult::CUDA_ERROR_NOT_PERMITTED as u32);
    Ok(())
}
