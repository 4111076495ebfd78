//! 10: a kernel that goes out of bounds: its context is lost, and says so until it is reset.

use cudarc::driver::{CudaContext, DriverError, LaunchConfig, PushKernelArg, result, sys};

use crate::fails_with;
use sys::CUresult::*;

pub(crate) fn main() -> Result<(), DriverError> {
    let context = CudaContext::new(0)?;
    let stream = context.new_stream()?;
    let module = crate::kernels(&context)?;
    let saxpy = module.load_function("saxpy")?;
    let (x, mut y) = (stream.clone_htod(&[1.0_f32; 64])?, stream.clone_htod(&[1.0_f32; 100])?);
    stream.synchronize()?;

    // n is that of y, and x is shorter.
    let config = LaunchConfig { grid_dim: (1, 1, 1), block_dim: (128, 1, 1), shared_mem_bytes: 0 };
    let mut launch = stream.launch_builder(&saxpy);
    launch.arg(&1.0_f32).arg(&x).arg(&mut y).arg(&100_u32);
    // SAFETY: it is not, and the emulator is there to say so.
    let launched = unsafe { launch.launch(config) };
    // The launch itself succeeds; but cudarc records events right after it, and those calls may already
    // bring the fault.
    if let Err(error) = launched {
        fails_with(Err::<(), _>(error), CUDA_ERROR_ILLEGAL_ADDRESS);
    }

    fails_with(stream.synchronize(), CUDA_ERROR_ILLEGAL_ADDRESS);
    fails_with(stream.synchronize(), CUDA_ERROR_ILLEGAL_ADDRESS);
    fails_with(stream.clone_htod(&[1_u8]), CUDA_ERROR_ILLEGAL_ADDRESS);
    fails_with(context.mem_get_info(), CUDA_ERROR_ILLEGAL_ADDRESS);
    fails_with(context.load_module(cudarc::nvrtc::Ptx::from_src("")), CUDA_ERROR_ILLEGAL_ADDRESS);
    // SAFETY: the event is ready or refused.
    let event = result::event::create(sys::CUevent_flags::CU_EVENT_DEFAULT);
    fails_with(event, CUDA_ERROR_ILLEGAL_ADDRESS);

    // A reset takes the fault, and everything that was in the context, away.
    std::mem::forget((x, y));
    // SAFETY: nothing of the old context is used afterwards.
    unsafe { sys::cuDevicePrimaryCtxReset_v2(0).result() }?;
    let again = context.default_stream();
    assert_eq!(again.clone_dtoh(&again.clone_htod(&[3_u8; 5])?)?, [3; 5]);
    fails_with(stream.synchronize(), CUDA_ERROR_INVALID_HANDLE);

    // A context of its own is not touched by what happens in another.
    let other = CudaContext::new_non_primary(0, 0)?;
    assert_eq!(
        other.default_stream().clone_dtoh(&other.default_stream().clone_htod(&[4_u8])?)?,
        [4]
    );
    Ok(())
}
