//! 05: a stream that does not wait for the copy it needs. Right by chance where everything runs at the
//! call, wrong on a GPU.

use cudarc::driver::{CudaContext, DriverError, LaunchConfig, PushKernelArg, sys};

use crate::gate::Gate;

/// Copies x to the device in one stream and doubles it in another; gives what comes back.
fn double(with_wait: bool) -> Result<Vec<f32>, DriverError> {
    let context = CudaContext::new(0)?;
    let module = crate::kernels(&context)?;
    let scale = module.load_function("scale")?;
    // SAFETY: this is the program that has to keep the order by hand, and may forget to.
    unsafe { context.disable_event_tracking() };
    let (copying, computing) = (context.new_stream()?, context.new_stream()?);

    // SAFETY: written before it is read.
    let mut host = unsafe { context.alloc_pinned::<f32>(128) }?;
    host.as_mut_slice()?.fill(3.0);
    // SAFETY: nothing is read here; whether the kernel reads too early is the question.
    let mut x = unsafe { copying.alloc::<f32>(128) }?;
    context.synchronize()?;

    let gate = Gate::shut(&copying)?;
    copying.memcpy_htod(&host, &mut x)?;
    let copied = copying.record_event(None)?;
    if with_wait {
        computing.wait(&copied)?;
        drop(gate);
    }
    let config = LaunchConfig { grid_dim: (1, 1, 1), block_dim: (128, 1, 1), shared_mem_bytes: 0 };
    // SAFETY: one thread for each value.
    unsafe { computing.launch_builder(&scale).arg(&mut x).launch(config) }?;
    let result = computing.clone_dtoh(&x);
    std::mem::forget(x);
    result
}

pub(crate) fn looks_right() -> Result<(), DriverError> {
    assert_eq!(double(false)?, [6.0; 128]);
    Ok(())
}

pub(crate) fn is_caught() -> Result<(), DriverError> {
    crate::fails_with(double(false), sys::CUresult::CUDA_ERROR_LAUNCH_FAILED);
    Ok(())
}

pub(crate) fn repaired() -> Result<(), DriverError> {
    assert_eq!(double(true)?, [6.0; 128]);
    Ok(())
}
