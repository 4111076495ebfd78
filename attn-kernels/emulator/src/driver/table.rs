//! Handle tables: what a `CUstream` or `CUevent` stands for. A handle carries its kind, so that one of
//! another kind, a stale one or a made-up one is found out and never dereferenced.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::abi::{Handle, Reply};
use super::code::Code;

/// What kind of object a handle stands for; the number is part of the handle.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Context = 1,
    Module = 2,
    Function = 3,
    Stream = 4,
    Event = 5,
    Graph = 6,
    GraphExec = 7,
    Pool = 8,
}

/// The live objects of one kind.
pub(super) struct Table<T> {
    kind: Kind,
    entries: Mutex<Entries<T>>,
}

struct Entries<T> {
    made: usize,
    live: HashMap<Handle, Arc<T>>,
}

impl<T> Table<T> {
    pub(super) fn new(kind: Kind) -> Self {
        Table { kind, entries: Mutex::new(Entries { made: 0, live: HashMap::new() }) }
    }

    /// Makes the object that belongs to a new handle. Handles are never used again, so that a stale
    /// one cannot mean another object.
    pub(super) fn insert_with(&self, make: impl FnOnce(Handle) -> Arc<T>) -> Handle {
        let mut entries = lock(&self.entries);
        entries.made += 1;
        // A multiple of 16, as an address would be, and far above the handles with a meaning (0, 1, 2).
        let handle = (self.kind as usize) << 44 | entries.made << 4;
        entries.live.insert(handle, make(handle));
        handle
    }

    pub(super) fn insert(&self, value: T) -> Handle {
        self.insert_with(|_| Arc::new(value))
    }

    /// The object; `CUDA_ERROR_INVALID_HANDLE` for what is none.
    pub(super) fn get(&self, handle: Handle) -> Reply<Arc<T>> {
        lock(&self.entries).live.get(&handle).cloned().ok_or(Code::INVALID_HANDLE)
    }

    /// Takes the object out; a second time is `CUDA_ERROR_INVALID_HANDLE`.
    pub(super) fn remove(&self, handle: Handle) -> Reply<Arc<T>> {
        lock(&self.entries).live.remove(&handle).ok_or(Code::INVALID_HANDLE)
    }

    /// Takes out every object that `gone` says belongs to something that is no more.
    pub(super) fn remove_where(&self, gone: impl Fn(&T) -> bool) {
        let mut entries = lock(&self.entries);
        let handles: Vec<Handle> =
            entries.live.iter().filter(|(_, v)| gone(v)).map(|(h, _)| *h).collect();
        let removed: Vec<Arc<T>> =
            handles.iter().filter_map(|handle| entries.live.remove(handle)).collect();
        // Dropped after the lock: the end of an object may look into a table.
        drop(entries);
        drop(removed);
    }
}

/// Locks, also after a panic elsewhere: a driver call that panicked gave `CUDA_ERROR_UNKNOWN`, and the
/// tables stay whole since nothing panics halfway through a change.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_of_another_kind_and_stale_ones_are_refused() {
        let (streams, events) = (Table::new(Kind::Stream), Table::new(Kind::Event));
        let stream = streams.insert("s");
        let event = events.insert("e");
        assert_ne!(stream, event);
        assert_eq!(streams.get(event).err(), Some(Code::INVALID_HANDLE));
        assert_eq!(streams.remove(stream).as_deref(), Ok(&"s"));
        assert_eq!(streams.remove(stream).err(), Some(Code::INVALID_HANDLE));
        assert_ne!(streams.insert("t"), stream);
        events.remove_where(|value| *value == "e");
        assert!(events.get(event).is_err());
    }
}
