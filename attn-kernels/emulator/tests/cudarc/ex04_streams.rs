//! 04: streams and events: order between streams comes from events and from nothing else.

use cudarc::driver::{CudaContext, DriverError, LaunchConfig, PushKernelArg, sys};

use crate::gate::Gate;

pub(crate) fn main() -> Result<(), DriverError> {
    let context = CudaContext::new(0)?;
    let module = crate::kernels(&context)?;
    let scale = module.load_function("scale")?;
    // SAFETY: the order is kept by hand below.
    unsafe { context.disable_event_tracking() };
    let (first, second) = (context.new_stream()?, context.new_stream()?);
    let mut x = first.clone_htod(&[1.0_f32; 256])?;
    first.synchronize()?;

    let config = LaunchConfig { grid_dim: (2, 1, 1), block_dim: (128, 1, 1), shared_mem_bytes: 0 };
    let timed = Some(sys::CUevent_flags::CU_EVENT_DEFAULT);
    let gate = Gate::shut(&first)?;
    let start = first.record_event(timed)?;
    for stream in [&first, &second, &first, &second] {
        // SAFETY: one thread for each value; each launch waits for the one before.
        unsafe { stream.launch_builder(&scale).arg(&mut x).launch(config) }?;
        let other = if stream == &first { &second } else { &first };
        other.join(stream)?;
    }
    let end = second.record_event(timed)?;
    if gate.is_some() {
        assert!(!start.is_complete() && !end.is_complete(), "the gate is shut");
    }
    drop(gate);
    while !end.try_is_complete()? {
        std::thread::yield_now();
    }
    assert!(start.is_complete() && start.elapsed_ms(&end)? >= 0.0);
    assert_eq!(second.clone_dtoh(&x)?, [16.0; 256]);

    // The legacy default stream waits for blocking streams and they for it; cudarc's own do not block.
    let blocking = blocking_stream(&context)?;
    let gate = Gate::shut(&blocking)?;
    // SAFETY: as above, in the order of the default stream.
    unsafe { blocking.launch_builder(&scale).arg(&mut x).launch(config) }?;
    let default = context.default_stream();
    // SAFETY: as above.
    unsafe { default.launch_builder(&scale).arg(&mut x).launch(config) }?;
    // SAFETY: as above.
    unsafe { blocking.launch_builder(&scale).arg(&mut x).launch(config) }?;
    drop(gate);
    assert_eq!(blocking.clone_dtoh(&x)?, [128.0; 256]);

    let (least, greatest) = cudarc::driver::result::stream::get_priority_range()?;
    assert!(greatest < least);
    let urgent = context.new_stream_with_priority(greatest)?;
    assert_eq!(urgent.clone_dtoh(&x)?, [128.0; 256]);

    // The default stream of this thread is another one than that of the next.
    let own = context.per_thread_stream();
    let made = std::thread::scope(|scope| {
        let other = scope.spawn(|| -> Result<_, DriverError> {
            let other = context.per_thread_stream();
            let made = other.clone_htod(&[2_u8; 3])?;
            other.synchronize().map(|()| made)
        });
        other.join().expect("the thread ends well")
    })?;
    assert_eq!(own.clone_dtoh(&made)?, [2; 3]);
    context.synchronize()
}

fn blocking_stream(
    context: &std::sync::Arc<CudaContext>,
) -> Result<std::sync::Arc<cudarc::driver::CudaStream>, DriverError> {
    use cudarc::driver::result::stream::{StreamKind, create};
    context.bind_to_thread()?;
    // SAFETY: a stream of this context, which lives until the process ends.
    Ok(unsafe { context.wrap_borrowed_stream(create(StreamKind::Default)?) })
}
