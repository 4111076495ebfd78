//! Streams: what a `CUstream` stands for. An operation goes into the stream's lane, or, while the
//! stream is capturing, into the capture.

use std::sync::{Arc, Mutex};

use super::abi::{Handle, Reply};
use super::capture::{Capture, Mode, Nodes};
use super::code::Code;
use super::core::{Core, Order};
use super::lane::{Fence, Lane};
use super::op::Op;
use super::table::lock;

/// `CU_STREAM_NON_BLOCKING`.
pub(super) const NON_BLOCKING: u32 = 1;

pub(super) struct Stream {
    pub(super) core: Arc<Core>,
    pub(super) order: Order,
    pub(super) priority: i32,
    lane: Arc<Lane>,
    taking_part: Mutex<Option<TakingPart>>,
}

/// A stream's part in a capture.
struct TakingPart {
    capture: Arc<Capture>,
    /// What the next operation of this stream comes after.
    last: Nodes,
    is_origin: bool,
}

/// The work that an event stands for.
#[derive(Clone)]
pub(super) enum Point {
    Fence(Fence),
    Captured(Arc<Capture>, Nodes),
}

/// `CUstreamCaptureStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Status {
    None = 0,
    Active = 1,
    Invalidated = 2,
}

impl Stream {
    pub(super) fn new(core: &Arc<Core>, order: Order, priority: i32) -> Arc<Stream> {
        let lane = core.open_lane(order);
        let core = Arc::clone(core);
        Arc::new(Stream { core, order, priority, lane, taking_part: Mutex::new(None) })
    }

    pub(super) fn context(&self) -> Handle {
        self.core.context
    }

    /// Puts an operation in, behind everything that is there.
    pub(super) fn push(&self, op: Op) -> Reply {
        let mut taking_part = lock(&self.taking_part);
        if let Some(part) = Self::part(&mut taking_part) {
            let node = part.capture.record(op, part.last.clone())?;
            part.last = Nodes::from([node]);
            return Ok(());
        }
        drop(taking_part);
        self.submit(Vec::new(), op).map(drop)
    }

    /// Puts an operation in that no graph can hold, such as a copy the host waits for.
    pub(super) fn push_now(&self, op: Op) -> Reply<Fence> {
        self.not_capturing()?;
        self.submit(Vec::new(), op)
    }

    fn submit(&self, after: Vec<Fence>, op: Op) -> Reply<Fence> {
        if self.order == Order::Legacy {
            self.core.legacy_is_free()?;
        }
        self.core.submit(&self.lane, self.order, after, op)
    }

    /// The part in a capture that still runs: joined streams leave when their origin has ended it.
    fn part(slot: &mut Option<TakingPart>) -> Option<&mut TakingPart> {
        if slot.as_ref().is_some_and(|part| part.capture.is_over()) {
            *slot = None;
        }
        slot.as_mut()
    }

    /// Refuses what a capturing stream cannot do, and invalidates the capture.
    pub(super) fn not_capturing(&self) -> Reply {
        match Self::part(&mut lock(&self.taking_part)) {
            Some(part) => Err(part.capture.invalidate(Code::STREAM_CAPTURE_UNSUPPORTED)),
            None => Ok(()),
        }
    }

    /// The point that an event recorded now stands for; `stamp` notes when it is reached.
    pub(super) fn mark(&self, stamp: Op) -> Reply<Point> {
        if let Some(part) = Self::part(&mut lock(&self.taking_part)) {
            return Ok(Point::Captured(Arc::clone(&part.capture), part.last.clone()));
        }
        self.submit(Vec::new(), stamp).map(Point::Fence)
    }

    /// Everything put in from now on comes after `point`. A point of a capture draws the stream into
    /// that capture.
    pub(super) fn wait_for(&self, point: &Point) -> Reply {
        let mut taking_part = lock(&self.taking_part);
        match (Self::part(&mut taking_part), point) {
            (None, Point::Fence(fence)) => self.submit(vec![fence.clone()], Op::Nothing).map(drop),
            (Some(part), Point::Captured(capture, nodes))
                if Arc::ptr_eq(&part.capture, capture) =>
            {
                part.last.extend(nodes);
                Ok(())
            }
            (Some(part), Point::Captured(..)) => {
                Err(part.capture.invalidate(Code::STREAM_CAPTURE_MERGE))
            }
            (Some(part), Point::Fence(_)) => {
                Err(part.capture.invalidate(Code::STREAM_CAPTURE_ISOLATION))
            }
            (None, Point::Captured(capture, _)) if capture.is_over() => Err(Code::CAPTURED_EVENT),
            (None, Point::Captured(capture, nodes)) => {
                *taking_part = Some(self.join(capture, nodes.clone(), false)?);
                Ok(())
            }
        }
    }

    fn join(&self, capture: &Arc<Capture>, last: Nodes, is_origin: bool) -> Reply<TakingPart> {
        match self.order {
            Order::Legacy => return Err(Code::STREAM_CAPTURE_UNSUPPORTED),
            Order::Blocking => capture.add_blocking_stream(),
            Order::NonBlocking => {}
        }
        Ok(TakingPart { capture: Arc::clone(capture), last, is_origin })
    }

    pub(super) fn begin_capture(&self, mode: Mode) -> Reply {
        let mut taking_part = lock(&self.taking_part);
        if Self::part(&mut taking_part).is_some() {
            return Err(Code::ILLEGAL_STATE);
        }
        let capture = Arc::new(Capture::new(mode));
        *taking_part = Some(self.join(&capture, Nodes::new(), true)?);
        self.core.begin(&capture);
        Ok(())
    }

    /// Ends the capture that began here and gives its operations.
    pub(super) fn end_capture(&self) -> Reply<Vec<Op>> {
        let mut taking_part = lock(&self.taking_part);
        let part = Self::part(&mut taking_part).ok_or(Code::ILLEGAL_STATE)?;
        if !part.is_origin {
            return Err(part.capture.invalidate(Code::STREAM_CAPTURE_UNMATCHED));
        }
        let result = part.capture.end(&part.last);
        if !matches!(result, Err(Code::STREAM_CAPTURE_WRONG_THREAD)) {
            *taking_part = None;
        }
        result
    }

    pub(super) fn capture_status(&self) -> Status {
        match Self::part(&mut lock(&self.taking_part)) {
            None => Status::None,
            Some(part) if part.capture.is_invalid() => Status::Invalidated,
            Some(_) => Status::Active,
        }
    }

    /// Waits until everything that is in now is done.
    pub(super) fn synchronize(&self) -> Reply {
        self.not_capturing()?;
        self.lane.end().wait();
        self.core.check()
    }

    /// Whether everything that is in now is done.
    pub(super) fn is_done(&self) -> Reply<bool> {
        self.not_capturing()?;
        let done = self.lane.end().is_done();
        self.core.check()?;
        Ok(done)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.core.close_lane(&self.lane);
    }
}
