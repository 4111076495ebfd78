//! A gate in a stream: what comes after it waits until the host opens it. So a test decides which of
//! two unordered pieces of work comes first, instead of hoping.

use cudarc::driver::{CudaStream, DriverError, result};
use std::ffi::c_void;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Keeps the stream shut until it is dropped or opened.
pub(crate) struct Gate(#[allow(dead_code)] Sender<()>);

impl Gate {
    /// Only with asynchronous streams: otherwise the host itself would wait for the gate.
    pub(crate) fn shut(stream: &CudaStream) -> Result<Option<Gate>, DriverError> {
        if std::env::var("CUDA_EMULATOR_STREAMS").as_deref() != Ok("async") {
            return Ok(None);
        }
        let (sender, receiver) = channel::<()>();
        let data = Box::into_raw(Box::new(receiver)).cast();
        // SAFETY: `wait` takes the receiver over, and is called once.
        unsafe { result::stream::launch_host_function(stream.cu_stream(), wait, data) }?;
        Ok(Some(Gate(sender)))
    }
}

unsafe extern "C" fn wait(data: *mut c_void) {
    // SAFETY: made by `Box::into_raw` above, for this call alone.
    let receiver = unsafe { Box::from_raw(data.cast::<Receiver<()>>()) };
    // Ends when the sender is dropped.
    let _ = receiver.recv();
}
