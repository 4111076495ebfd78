//! Capturing: the operations that streams record instead of running them, and what depends on what.
//! Knows nothing of running a graph.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ThreadId;

use super::abi::Reply;
use super::code::Code;
use super::op::Op;
use super::table::lock;

/// `CUstreamCaptureMode`: which other calls a running capture forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Global,
    ThreadLocal,
    Relaxed,
}

impl Mode {
    pub(super) fn new(value: u32) -> Reply<Mode> {
        match value {
            0 => Ok(Mode::Global),
            1 => Ok(Mode::ThreadLocal),
            2 => Ok(Mode::Relaxed),
            _ => Err(Code::INVALID_VALUE),
        }
    }
}

/// One capture, shared by its origin stream and those that joined through events.
pub(super) struct Capture {
    mode: Mode,
    thread: ThreadId,
    blocking: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    nodes: Vec<Node>,
    over: bool,
    invalid: bool,
}

struct Node {
    op: Op,
    after: Nodes,
}

/// Indices of nodes.
pub(super) type Nodes = BTreeSet<usize>;

impl Capture {
    pub(super) fn new(mode: Mode) -> Self {
        Capture {
            mode,
            thread: std::thread::current().id(),
            blocking: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    /// A stream that is ordered with the legacy stream takes part.
    pub(super) fn add_blocking_stream(&self) {
        self.blocking.store(true, Ordering::Release);
    }

    pub(super) fn has_blocking_stream(&self) -> bool {
        self.blocking.load(Ordering::Acquire)
    }

    pub(super) fn is_over(&self) -> bool {
        lock(&self.state).over
    }

    pub(super) fn is_invalid(&self) -> bool {
        lock(&self.state).invalid
    }

    /// Whether this thread must not allocate, synchronize and the like now.
    pub(super) fn forbids_unsafe_calls(&self) -> bool {
        match self.mode {
            Mode::Global => true,
            Mode::ThreadLocal => self.in_own_thread(),
            Mode::Relaxed => false,
        }
    }

    fn in_own_thread(&self) -> bool {
        self.thread == std::thread::current().id()
    }

    /// Ends all hope for this capture; gives back the reason, to be returned.
    pub(super) fn invalidate(&self, reason: Code) -> Code {
        lock(&self.state).invalid = true;
        reason
    }

    /// Records `op` behind the nodes `after` and gives its index.
    pub(super) fn record(&self, op: Op, after: Nodes) -> Reply<usize> {
        let mut state = lock(&self.state);
        if state.invalid {
            return Err(Code::STREAM_CAPTURE_INVALIDATED);
        }
        if matches!(op, Op::Free(_)) {
            state.invalid = true;
            return Err(Code::STREAM_CAPTURE_UNSUPPORTED);
        }
        state.nodes.push(Node { op, after });
        Ok(state.nodes.len() - 1)
    }

    /// Ends the capture: the operations in the order of their capture, which every dependency
    /// follows. `last` are the nodes that the origin stream ends with.
    pub(super) fn end(&self, last: &Nodes) -> Reply<Vec<Op>> {
        if self.mode != Mode::Relaxed && !self.in_own_thread() {
            return Err(Code::STREAM_CAPTURE_WRONG_THREAD);
        }
        let mut state = lock(&self.state);
        state.over = true;
        let nodes = std::mem::take(&mut state.nodes);
        if state.invalid {
            return Err(Code::STREAM_CAPTURE_INVALIDATED);
        }
        if reached(&nodes, last) < nodes.len() {
            return Err(Code::STREAM_CAPTURE_UNJOINED);
        }
        Ok(nodes.into_iter().map(|node| node.op).collect())
    }
}

/// How many nodes `last` depends on, itself included.
fn reached(nodes: &[Node], last: &Nodes) -> usize {
    let mut wanted = last.clone();
    // A node only depends on earlier ones: one pass from the back sees all.
    for (index, node) in nodes.iter().enumerate().rev() {
        if wanted.contains(&index) {
            wanted.extend(&node.after);
        }
    }
    wanted.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_nobody_waits_for_is_unjoined() {
        let capture = Capture::new(Mode::Relaxed);
        let first = capture.record(Op::Nothing, Nodes::new()).unwrap();
        let left = capture.record(Op::Nothing, Nodes::from([first])).unwrap();
        let right = capture.record(Op::Nothing, Nodes::from([first])).unwrap();
        assert_eq!(capture.end(&Nodes::from([left])).err(), Some(Code::STREAM_CAPTURE_UNJOINED));

        let capture = Capture::new(Mode::Global);
        for after in [Nodes::new(), Nodes::from([first]), Nodes::from([first])] {
            capture.record(Op::Nothing, after).unwrap();
        }
        assert_eq!(capture.end(&Nodes::from([left, right])).unwrap().len(), 3);
        assert!(capture.is_over());
    }

    #[test]
    fn an_invalid_capture_gives_no_graph() {
        let capture = Capture::new(Mode::ThreadLocal);
        assert!(capture.forbids_unsafe_calls());
        capture.invalidate(Code::CAPTURED_EVENT);
        let code = Some(Code::STREAM_CAPTURE_INVALIDATED);
        assert_eq!(capture.record(Op::Nothing, Nodes::new()).err(), code);
        assert_eq!(capture.end(&Nodes::new()).err(), code);
    }
}
