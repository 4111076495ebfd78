//! The functions `cuStream*` and `cuLaunchHostFunc`.

use super::abi::{Handle, Host, Out, Reply, driver_api};
use super::capture::Mode;
use super::code::Code;
use super::context::GREATEST_PRIORITY;
use super::core::Order;
use super::graph::Graph;
use super::op::{Callback, Op};
use super::state::{current, live, live_stream};
use super::stream::{NON_BLOCKING, Status, Stream};

fn create(place: Out<Handle>, flags: u32, priority: i32) -> Reply {
    let (driver, context) = live()?;
    let place = place.required()?;
    let order = match flags {
        0 => Order::Blocking,
        NON_BLOCKING => Order::NonBlocking,
        _ => return Err(Code::INVALID_VALUE),
    };
    // A priority out of range becomes the nearest one in it, as documented for the driver.
    let priority = priority.clamp(GREATEST_PRIORITY, 0);
    place.set(driver.streams.insert_with(|_| Stream::new(&context.core, order, priority)))
}

driver_api! {
    fn cuStreamCreate(place: Out<Handle>, flags: u32) {
        create(place, flags, 0)
    }

    fn cuStreamCreateWithPriority(place: Out<Handle>, flags: u32, priority: i32) {
        create(place, flags, priority)
    }

    fn cuStreamDestroy_v2(stream: Handle) {
        let (driver, context) = current()?;
        // What is still in it is done all the same.
        let stream = driver.streams.remove(stream)?;
        drop(stream);
        context.core.check()
    }

    fn cuStreamSynchronize(stream: Handle) {
        live_stream(stream)?.2.synchronize()
    }

    fn cuStreamQuery(stream: Handle) {
        if live_stream(stream)?.2.is_done()? { Ok(()) } else { Err(Code::NOT_READY) }
    }

    fn cuStreamGetPriority(stream: Handle, priority: Out<i32>) {
        priority.set(live_stream(stream)?.2.priority)
    }

    fn cuStreamGetFlags(stream: Handle, flags: Out<u32>) {
        let non_blocking = live_stream(stream)?.2.order == Order::NonBlocking;
        flags.set(if non_blocking { NON_BLOCKING } else { 0 })
    }

    fn cuStreamGetCtx(stream: Handle, context: Out<Handle>) {
        context.set(live_stream(stream)?.2.context())
    }

    fn cuStreamGetId(stream: Handle, id: Out<u64>) {
        live_stream(stream)?;
        id.set(stream as u64)
    }

    fn cuLaunchHostFunc(stream: Handle, function: Option<extern "C" fn(Host)>, data: Host) {
        let (_, _, stream) = live_stream(stream)?;
        let function = function.ok_or(Code::INVALID_VALUE)?;
        stream.push(Op::Host(Callback { function, data }))
    }

    fn cuStreamBeginCapture_v2(stream: Handle, mode: u32) {
        live_stream(stream)?.2.begin_capture(Mode::new(mode)?)
    }

    fn cuStreamEndCapture(stream: Handle, place: Out<Handle>) {
        let (driver, _, stream) = live_stream(stream)?;
        let place = place.required()?;
        match stream.end_capture() {
            Ok(ops) => place.set(driver.graphs.insert(Graph { ops: ops.into() })),
            Err(code) => {
                place.set(0)?;
                Err(code)
            }
        }
    }

    fn cuStreamIsCapturing(stream: Handle, status: Out<Status>) {
        let (_, context, stream) = live_stream(stream)?;
        if stream.order == Order::Legacy {
            context.core.legacy_is_free()?;
        }
        status.set(stream.capture_status())
    }
}
