//! Events: `cuEvent*` and `cuStreamWaitEvent`. Times are times of the host.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use super::abi::{Handle, Out, Reply, driver_api};
use super::code::Code;
use super::op::Op;
use super::state::{Driver, current, live, live_stream};
use super::stream::Point;
use super::table::lock;

pub(super) struct Event {
    pub(super) context: Handle,
    timed: bool,
    recorded: Mutex<Option<Recorded>>,
}

#[derive(Clone)]
struct Recorded {
    point: Point,
    time: Arc<OnceLock<Instant>>,
}

/// `CU_EVENT_BLOCKING_SYNC`, `CU_EVENT_DISABLE_TIMING`, `CU_EVENT_INTERPROCESS`.
const ALL_FLAGS: u32 = 7;
const DISABLE_TIMING: u32 = 2;
const INTERPROCESS: u32 = 4;

impl Event {
    fn recorded(&self) -> Option<Recorded> {
        lock(&self.recorded).clone()
    }
}

/// The captured point makes the capture invalid: nobody can wait on the host for what only runs later.
fn refuse_captured(point: &Point) -> Reply {
    match point {
        Point::Captured(capture, _) => Err(capture.invalidate(Code::CAPTURED_EVENT)),
        Point::Fence(_) => Ok(()),
    }
}

fn record(handle: Handle, stream: Handle) -> Reply {
    let (driver, context, stream) = live_stream(stream)?;
    let event = driver.events.get(handle)?;
    if event.context != context.handle {
        return Err(Code::INVALID_CONTEXT);
    }
    let time = Arc::default();
    let point = stream.mark(Op::Stamp(Arc::clone(&time)))?;
    *lock(&event.recorded) = Some(Recorded { point, time });
    Ok(())
}

fn time(driver: &Driver, handle: Handle) -> Reply<Instant> {
    let event = driver.events.get(handle)?;
    if !event.timed {
        return Err(Code::INVALID_HANDLE);
    }
    let recorded = event.recorded().ok_or(Code::INVALID_HANDLE)?;
    refuse_captured(&recorded.point)?;
    recorded.time.get().copied().ok_or(Code::NOT_READY)
}

fn elapsed(milliseconds: Out<f32>, start: Handle, end: Handle) -> Reply {
    let (driver, _) = live()?;
    let (start, end) = (time(driver, start)?, time(driver, end)?);
    let seconds = match end.checked_duration_since(start) {
        Some(after) => after.as_secs_f64(),
        None => -start.duration_since(end).as_secs_f64(),
    };
    milliseconds.set((seconds * 1e3) as f32)
}

driver_api! {
    fn cuEventCreate(place: Out<Handle>, flags: u32) {
        let (driver, context) = live()?;
        let place = place.required()?;
        if flags & !ALL_FLAGS != 0 {
            return Err(Code::INVALID_VALUE);
        }
        if flags & INTERPROCESS != 0 {
            return Err(Code::NOT_SUPPORTED);
        }
        let timed = flags & DISABLE_TIMING == 0;
        let context = context.handle;
        place.set(driver.events.insert(Event { context, timed, recorded: Mutex::default() }))
    }

    fn cuEventDestroy_v2(event: Handle) {
        let (driver, context) = current()?;
        driver.events.remove(event)?;
        context.core.check()
    }

    fn cuEventRecord(event: Handle, stream: Handle) {
        record(event, stream)
    }

    fn cuEventRecordWithFlags(event: Handle, stream: Handle, flags: u32) {
        match flags {
            0 => record(event, stream),
            // CU_EVENT_RECORD_EXTERNAL makes a node of its own in a graph.
            1 => Err(Code::NOT_SUPPORTED),
            _ => Err(Code::INVALID_VALUE),
        }
    }

    fn cuEventQuery(event: Handle) {
        let (driver, context) = live()?;
        let Some(recorded) = driver.events.get(event)?.recorded() else { return Ok(()) };
        refuse_captured(&recorded.point)?;
        let done = matches!(&recorded.point, Point::Fence(fence) if fence.is_done());
        context.core.check()?;
        if done { Ok(()) } else { Err(Code::NOT_READY) }
    }

    fn cuEventSynchronize(event: Handle) {
        let (driver, context) = live()?;
        let Some(recorded) = driver.events.get(event)?.recorded() else { return Ok(()) };
        refuse_captured(&recorded.point)?;
        if let Point::Fence(fence) = &recorded.point {
            fence.wait();
        }
        context.core.check()
    }

    fn cuEventElapsedTime(milliseconds: Out<f32>, start: Handle, end: Handle) {
        elapsed(milliseconds, start, end)
    }

    fn cuEventElapsedTime_v2(milliseconds: Out<f32>, start: Handle, end: Handle) {
        elapsed(milliseconds, start, end)
    }

    fn cuStreamWaitEvent(stream: Handle, event: Handle, flags: u32) {
        let (driver, _, stream) = live_stream(stream)?;
        let event = driver.events.get(event)?;
        match flags {
            0 => {}
            // CU_EVENT_WAIT_EXTERNAL makes a node of its own in a graph.
            1 => return Err(Code::NOT_SUPPORTED),
            _ => return Err(Code::INVALID_VALUE),
        }
        match event.recorded() {
            Some(recorded) => stream.wait_for(&recorded.point),
            None => Ok(()),
        }
    }
}
