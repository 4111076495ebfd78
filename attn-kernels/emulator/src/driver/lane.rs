//! A lane: the queue behind one stream, and fences, which are places in such a queue. Knows when work
//! runs and in what order; not what the work is.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::settings::Streams;
use super::table::lock;

/// One piece of work.
pub(super) type Task = Box<dyn FnOnce() + Send>;

/// The work of one stream: done in the order it was put in, when [`Streams`] says.
pub(super) struct Lane {
    mode: Streams,
    state: Mutex<State>,
    /// Something was put in, was done, or the lane was closed.
    changed: Condvar,
    /// Held while a task runs in the thread of a caller: keeps the order.
    turn: Mutex<()>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Item>,
    submitted: u64,
    done: u64,
    has_worker: bool,
    closed: bool,
}

struct Item {
    ticket: u64,
    /// Places in other lanes that come first.
    after: Vec<Fence>,
    task: Task,
}

/// A place in a lane: reached when everything up to it is done.
#[derive(Clone)]
pub(super) struct Fence {
    lane: Arc<Lane>,
    ticket: u64,
}

impl Lane {
    pub(super) fn new(mode: Streams) -> Arc<Lane> {
        Arc::new(Lane {
            mode,
            state: Mutex::default(),
            changed: Condvar::new(),
            turn: Mutex::new(()),
        })
    }

    /// Puts `task` behind everything in this lane and behind the fences `after`. Fences only ever name
    /// work that was put in before, so waiting for them cannot go in a circle.
    pub(super) fn submit(
        self: &Arc<Self>,
        after: Vec<Fence>,
        task: Task,
    ) -> std::io::Result<Fence> {
        let mut state = lock(&self.state);
        if self.mode == Streams::Async && !state.has_worker {
            let lane = Arc::clone(self);
            std::thread::Builder::new()
                .name("cuda-emulator stream".to_owned())
                .spawn(move || lane.work())?;
            state.has_worker = true;
        }
        state.submitted += 1;
        let ticket = state.submitted;
        state.queue.push_back(Item { ticket, after, task });
        drop(state);
        self.changed.notify_all();
        if self.mode == Streams::Serial {
            self.run_here(ticket);
        }
        Ok(Fence { lane: Arc::clone(self), ticket })
    }

    /// The end of what is in the lane now.
    pub(super) fn end(self: &Arc<Self>) -> Fence {
        Fence { lane: Arc::clone(self), ticket: lock(&self.state).submitted }
    }

    /// Whether everything that was put in is done.
    pub(super) fn is_empty(&self) -> bool {
        let state = lock(&self.state);
        state.done == state.submitted
    }

    /// Nothing more will be put in: the worker ends when it has done the rest.
    pub(super) fn close(&self) {
        lock(&self.state).closed = true;
        self.changed.notify_all();
    }

    /// The thread of an asynchronous stream.
    fn work(&self) {
        loop {
            let mut state = lock(&self.state);
            let item = loop {
                if let Some(item) = state.queue.pop_front() {
                    break item;
                }
                if state.closed {
                    return;
                }
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            };
            drop(state);
            self.run(item);
        }
    }

    /// Runs what is in the queue up to `ticket` in this thread.
    fn run_here(&self, ticket: u64) {
        // Before the lock: another thread may hold the turn for later work that waits for this one's.
        if lock(&self.state).done >= ticket {
            return;
        }
        let _turn = lock(&self.turn);
        while let Some(item) = self.take_up_to(ticket) {
            self.run(item);
        }
    }

    fn take_up_to(&self, ticket: u64) -> Option<Item> {
        let mut state = lock(&self.state);
        let next = state.queue.front().is_some_and(|item| item.ticket <= ticket);
        if next { state.queue.pop_front() } else { None }
    }

    fn run(&self, item: Item) {
        for fence in &item.after {
            fence.wait();
        }
        (item.task)();
        lock(&self.state).done = item.ticket;
        self.changed.notify_all();
    }
}

impl Fence {
    /// Waits until everything up to here is done; in the lazy mode, does it.
    pub(super) fn wait(&self) {
        if self.lane.mode == Streams::Async {
            let mut state = lock(&self.lane.state);
            while state.done < self.ticket {
                state = self.lane.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        } else {
            self.lane.run_here(self.ticket);
        }
    }

    /// Whether everything up to here was done when asked. Asking lets a lazy lane do one piece of work
    /// afterwards, so that who asks again and again gets there.
    pub(super) fn is_done(&self) -> bool {
        if lock(&self.lane.state).done >= self.ticket {
            return true;
        }
        if self.lane.mode == Streams::Lazy {
            let _turn = lock(&self.lane.turn);
            if let Some(item) = self.lane.take_up_to(self.ticket) {
                self.lane.run(item);
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn task(log: &Arc<Mutex<Vec<u32>>>, value: u32) -> Task {
        let log = Arc::clone(log);
        Box::new(move || lock(&log).push(value))
    }

    #[test]
    fn a_serial_lane_runs_at_the_call() {
        let (lane, log) = (Lane::new(Streams::Serial), Arc::default());
        let fence = lane.submit(Vec::new(), task(&log, 1)).unwrap();
        assert_eq!(*lock(&log), [1]);
        assert!(fence.is_done());
    }

    #[test]
    fn a_lazy_lane_runs_what_is_waited_for_and_no_more() {
        let log = Arc::default();
        let (a, b) = (Lane::new(Streams::Lazy), Lane::new(Streams::Lazy));
        let first = a.submit(Vec::new(), task(&log, 1)).unwrap();
        a.submit(Vec::new(), task(&log, 2)).unwrap();
        let last = b.submit(vec![first], task(&log, 3)).unwrap();
        assert!(lock(&log).is_empty());
        last.wait();
        assert_eq!(*lock(&log), [1, 3]);
        assert!(!a.end().is_done(), "asking does one piece of work, afterwards");
        assert!(a.end().is_done());
        assert_eq!(*lock(&log), [1, 3, 2]);
    }

    #[test]
    fn an_async_lane_runs_beside_the_host_and_waits_for_fences() {
        let log = Arc::default();
        let (a, b) = (Lane::new(Streams::Async), Lane::new(Streams::Async));
        let (open, gate) = mpsc::channel::<()>();
        let blocked = a.submit(Vec::new(), Box::new(move || gate.recv().unwrap())).unwrap();
        let first = a.submit(Vec::new(), task(&log, 1)).unwrap();
        let second = b.submit(vec![first], task(&log, 2)).unwrap();
        assert!(!blocked.is_done() && !second.is_done());
        open.send(()).unwrap();
        second.wait();
        assert_eq!(*lock(&log), [1, 2]);
        a.close();
        b.close();
    }
}
