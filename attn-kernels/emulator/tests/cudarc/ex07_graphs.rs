//! 07: graphs, made by capturing streams.

use cudarc::driver::{CudaContext, CudaStream, DriverError, LaunchConfig, PushKernelArg, sys};
use std::sync::Arc;

use crate::fails_with;
use sys::CUresult::*;
use sys::CUstreamCaptureMode::*;
use sys::CUstreamCaptureStatus::*;

const FLAGS: sys::CUgraphInstantiate_flags = sys::CUgraphInstantiate_flags(0);

pub(crate) fn main() -> Result<(), DriverError> {
    let context = CudaContext::new(0)?;
    // SAFETY: cudarc's own events come from outside of a capture; the order is kept by hand.
    unsafe { context.disable_event_tracking() };
    let (stream, other) = (context.new_stream()?, context.new_stream()?);
    replay(&context, &stream, &other)?;
    refused(&context, &stream, &other)
}

/// Two streams, one graph: x is cleared in one and y in the other, then y = 2x + y.
fn replay(
    context: &Arc<CudaContext>,
    stream: &Arc<CudaStream>,
    other: &Arc<CudaStream>,
) -> Result<(), DriverError> {
    let module = crate::kernels(context)?;
    let (saxpy, scale) = (module.load_function("saxpy")?, module.load_function("scale")?);
    let (mut x, mut y) = (stream.clone_htod(&[1.0_f32; 64])?, stream.clone_htod(&[5.0_f32; 64])?);
    stream.synchronize()?;
    let config = LaunchConfig { grid_dim: (1, 1, 1), block_dim: (64, 1, 1), shared_mem_bytes: 0 };

    stream.begin_capture(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)?;
    assert_eq!(stream.capture_status()?, CU_STREAM_CAPTURE_STATUS_ACTIVE);
    other.join(stream)?;
    assert_eq!(other.capture_status()?, CU_STREAM_CAPTURE_STATUS_ACTIVE);
    // SAFETY: one thread for each of 64 values.
    unsafe { stream.launch_builder(&scale).arg(&mut x).launch(config) }?;
    other.memset_zeros(&mut y)?;
    stream.join(other)?;
    let mut launch = stream.launch_builder(&saxpy);
    launch.arg(&3.0_f32).arg(&x).arg(&mut y).arg(&64_u32);
    // SAFETY: as above.
    unsafe { launch.launch(config) }?;
    let graph = stream.end_capture(FLAGS)?.expect("a graph of three nodes");
    assert_eq!(stream.capture_status()?, CU_STREAM_CAPTURE_STATUS_NONE);
    assert_eq!(other.capture_status()?, CU_STREAM_CAPTURE_STATUS_NONE);

    assert_eq!(stream.clone_dtoh(&y)?, [5.0; 64], "recorded, not run");
    graph.upload()?;
    for x_now in [2.0_f32, 4.0, 8.0] {
        graph.launch()?;
        assert_eq!(stream.clone_dtoh(&y)?, [3.0 * x_now; 64]);
    }
    Ok(())
}

/// What a capture does not permit, and that the streams are usable afterwards.
fn refused(
    context: &Arc<CudaContext>,
    stream: &Arc<CudaStream>,
    other: &Arc<CudaStream>,
) -> Result<(), DriverError> {
    let before = stream.record_event(None)?;
    let mut data = stream.clone_htod(&[1_u8; 8])?;
    stream.synchronize()?;

    // Each of these makes the capture invalid.
    type Refused<'a> = (&'a dyn Fn() -> Result<(), DriverError>, sys::CUresult);
    let cases: [Refused<'_>; 5] = [
        (&|| stream.synchronize(), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED),
        (&|| context.synchronize(), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED),
        (&|| stream.wait(&before), CUDA_ERROR_STREAM_CAPTURE_ISOLATION),
        (&|| stream.record_event(None)?.synchronize(), CUDA_ERROR_CAPTURED_EVENT),
        (&|| stream.alloc_zeros::<u8>(8).map(drop), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED),
    ];
    for (call, code) in cases {
        stream.begin_capture(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)?;
        fails_with(call(), code);
        assert_eq!(stream.capture_status()?, CU_STREAM_CAPTURE_STATUS_INVALIDATED);
        fails_with(stream.end_capture(FLAGS).map(drop), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
        assert_eq!(stream.capture_status()?, CU_STREAM_CAPTURE_STATUS_NONE);
    }

    // Work that the origin does not wait for; the wrong stream; no capture; another's thread.
    stream.begin_capture(CU_STREAM_CAPTURE_MODE_RELAXED)?;
    other.join(stream)?;
    other.memset_zeros(&mut data)?;
    fails_with(other.end_capture(FLAGS).map(drop), CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
    fails_with(stream.end_capture(FLAGS).map(drop), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    stream.begin_capture(CU_STREAM_CAPTURE_MODE_RELAXED)?;
    other.join(stream)?;
    other.memset_zeros(&mut data)?;
    fails_with(stream.end_capture(FLAGS).map(drop), CUDA_ERROR_STREAM_CAPTURE_UNJOINED);
    fails_with(stream.end_capture(FLAGS).map(drop), CUDA_ERROR_ILLEGAL_STATE);
    let default = context.default_stream();
    let begun = default.begin_capture(CU_STREAM_CAPTURE_MODE_GLOBAL);
    fails_with(begun, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);

    // Nothing of all that was run.
    assert_eq!(stream.clone_dtoh(&data)?, [1; 8]);
    Ok(())
}
