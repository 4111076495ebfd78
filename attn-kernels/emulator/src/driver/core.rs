//! The heart of a context: its device, its lanes, its sticky error and its captures; and which context
//! is current in a thread. Knows no handles of other objects.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use super::abi::{Handle, Reply, say};
use super::capture::Capture;
use super::code::Code;
use super::lane::{Fence, Lane};
use super::machine::Device;
use super::op::{Failure, Op};
use super::report::Report;
use super::settings::Streams;
use super::stream::Stream;
use super::table::lock;

/// What a context's streams share.
pub(super) struct Core {
    pub(super) context: Handle,
    pub(super) device: Device,
    pub(super) mode: Streams,
    pub(super) report: Arc<Report>,
    fault: Mutex<Option<Code>>,
    alive: AtomicBool,
    lanes: Mutex<Vec<Listed>>,
    captures: Mutex<Vec<Weak<Capture>>>,
}

struct Listed {
    lane: Arc<Lane>,
    order: Order,
    closed: bool,
}

/// How a stream stands to the legacy default stream (driver API, "Stream synchronization behavior").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The legacy default stream: waits for all blocking streams, and they for it.
    Legacy,
    /// Ordered with the legacy default stream.
    Blocking,
    /// On its own.
    NonBlocking,
}

impl Core {
    pub(super) fn new(
        context: Handle,
        device: Device,
        mode: Streams,
        report: Arc<Report>,
    ) -> Arc<Core> {
        Arc::new(Core {
            context,
            device,
            mode,
            report,
            fault: Mutex::new(None),
            alive: AtomicBool::new(true),
            lanes: Mutex::default(),
            captures: Mutex::default(),
        })
    }

    /// The sticky error, if there is one.
    pub(super) fn check(&self) -> Reply {
        if !self.alive.load(Ordering::Acquire) {
            return Err(Code::CONTEXT_IS_DESTROYED);
        }
        lock(&self.fault).map_or(Ok(()), Err)
    }

    /// The end of the context: what is still in the lanes is not run any more.
    pub(super) fn kill(&self) {
        self.alive.store(false, Ordering::Release);
        for listed in lock(&self.lanes).iter_mut() {
            listed.close();
        }
    }

    /// A reset: the context is as it was made.
    pub(super) fn clear_fault(&self) {
        *lock(&self.fault) = None;
    }

    pub(super) fn open_lane(&self, order: Order) -> Arc<Lane> {
        let lane = Lane::new(self.mode);
        lock(&self.lanes).push(Listed { lane: Arc::clone(&lane), order, closed: false });
        lane
    }

    /// The lane gets nothing more, but the context still waits for what is in it.
    pub(super) fn close_lane(&self, lane: &Arc<Lane>) {
        let mut lanes = lock(&self.lanes);
        for listed in lanes.iter_mut().filter(|listed| Arc::ptr_eq(&listed.lane, lane)) {
            listed.close();
        }
        lanes.retain(|listed| !listed.closed || !listed.lane.is_empty());
    }

    /// Puts `op` into `lane`; `after` are fences that come first.
    pub(super) fn submit(
        self: &Arc<Self>,
        lane: &Arc<Lane>,
        order: Order,
        mut after: Vec<Fence>,
        op: Op,
    ) -> Reply<Fence> {
        after.extend(self.implied(lane, order));
        let core = Arc::clone(self);
        lane.submit(after, Box::new(move || core.run(&op))).map_err(|error| {
            say(format_args!("no thread for a stream: {error}"));
            Code::OPERATING_SYSTEM
        })
    }

    /// What the legacy default stream and the blocking ones wait for, each of the other.
    fn implied(&self, lane: &Arc<Lane>, order: Order) -> Vec<Fence> {
        let other = |listed: &&Listed| match order {
            Order::Legacy => listed.order == Order::Blocking,
            Order::Blocking => listed.order == Order::Legacy,
            Order::NonBlocking => false,
        };
        lock(&self.lanes)
            .iter()
            .filter(|listed| !Arc::ptr_eq(&listed.lane, lane) && !listed.lane.is_empty())
            .filter(other)
            .map(|listed| listed.lane.end())
            .collect()
    }

    /// Runs one operation unless the context has failed: then the streams only run dry.
    fn run(&self, op: &Op) {
        if self.check().is_err() {
            return;
        }
        let result = catch_unwind(AssertUnwindSafe(|| op.run(self))).unwrap_or_else(|_| {
            let message = "internal error of the emulator, see the panic above".to_owned();
            Err(Failure { code: Code::UNKNOWN, message })
        });
        if let Err(failure) = result {
            self.fail(&failure);
        }
    }

    fn fail(&self, failure: &Failure) {
        say(format_args!("{}: {}", failure.code.name(), failure.message));
        // The first one stays: later ones may follow from it.
        lock(&self.fault).get_or_insert(failure.code);
    }

    /// Waits for everything in every stream. A lazy context goes from the newest stream to the oldest:
    /// against the order that a program without synchronisation would hope for.
    pub(super) fn synchronize(&self) -> Reply {
        let ends: Vec<Fence> =
            lock(&self.lanes).iter().rev().map(|listed| listed.lane.end()).collect();
        ends.iter().for_each(Fence::wait);
        lock(&self.lanes).retain(|listed| !listed.closed);
        self.check()
    }

    pub(super) fn begin(&self, capture: &Arc<Capture>) {
        let mut captures = lock(&self.captures);
        captures.retain(|known| known.strong_count() > 0);
        captures.push(Arc::downgrade(capture));
    }

    fn active_captures(&self) -> Vec<Arc<Capture>> {
        let active = |known: &Weak<Capture>| known.upgrade().filter(|capture| !capture.is_over());
        lock(&self.captures).iter().filter_map(active).collect()
    }

    /// Refuses a call that a capture forbids to this thread (`CU_STREAM_CAPTURE_MODE_*`), and
    /// invalidates that capture.
    pub(super) fn not_capturing(&self) -> Reply {
        let forbids = |capture: &Arc<Capture>| capture.forbids_unsafe_calls();
        match self.active_captures().into_iter().find(forbids) {
            Some(capture) => Err(capture.invalidate(Code::STREAM_CAPTURE_UNSUPPORTED)),
            None => Ok(()),
        }
    }

    /// Refuses work in the legacy stream while a stream that is ordered with it is capturing.
    pub(super) fn legacy_is_free(&self) -> Reply {
        let blocking = |capture: &Arc<Capture>| capture.has_blocking_stream();
        match self.active_captures().into_iter().find(blocking) {
            Some(capture) => Err(capture.invalidate(Code::STREAM_CAPTURE_IMPLICIT)),
            None => Ok(()),
        }
    }
}

impl Listed {
    fn close(&mut self) {
        self.closed = true;
        self.lane.close();
    }
}

thread_local! {
    /// The contexts that are current in this thread, the top one last.
    pub(super) static STACK: RefCell<Vec<Handle>> = const { RefCell::new(Vec::new()) };
    /// The default streams of this thread, by context (`CU_STREAM_PER_THREAD`).
    pub(super) static PER_THREAD: RefCell<HashMap<Handle, Arc<Stream>>> =
        RefCell::new(HashMap::new());
    static IN_CALLBACK: Cell<bool> = const { Cell::new(false) };
}

/// Runs a host function of a stream, in which calls of the driver are not permitted.
pub(super) fn without_driver_calls(body: impl FnOnce()) {
    let before = IN_CALLBACK.replace(true);
    body();
    IN_CALLBACK.set(before);
}

/// `CUDA_ERROR_NOT_PERMITTED` within a host function of a stream.
pub(super) fn driver_calls_permitted() -> Reply {
    if IN_CALLBACK.get() { Err(Code::NOT_PERMITTED) } else { Ok(()) }
}
