//! Page-locked host memory: `cuMemHostAlloc`, `cuMemHostRegister` and the table that tells a copy
//! whether it may run behind the caller's back. Kernels cannot reach it: nothing is mapped.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::collections::BTreeMap;
use std::sync::Mutex;

use super::abi::{Handle, Host, Out, Reply, driver_api};
use super::code::Code;
use super::state::{current, live};
use super::table::lock;

/// The page-locked ranges, by their start.
#[derive(Default)]
pub(super) struct Pinned(Mutex<BTreeMap<usize, HostRange>>);

#[derive(Clone, Copy)]
pub(super) struct HostRange {
    pub(super) start: usize,
    pub(super) bytes: usize,
    pub(super) context: Handle,
    flags: u32,
    /// Ours to give back, or only registered.
    allocated: bool,
}

/// Drivers give out pages.
const PAGE: usize = 4096;
/// `CU_MEMHOSTALLOC_PORTABLE` and `_WRITECOMBINED`, which change nothing here; `_DEVICEMAP` is taken,
/// but the device address it is for is refused when it is asked for.
const ALLOC_FLAGS: u32 = 7;
/// `CU_MEMHOSTREGISTER_PORTABLE` and `_DEVICEMAP`, as above; `_READ_ONLY`.
const REGISTER_FLAGS: u32 = 1 | 2 | 8;

fn layout(bytes: usize) -> Reply<Layout> {
    Layout::from_size_align(bytes, PAGE).map_err(|_| Code::OUT_OF_MEMORY)
}

impl Pinned {
    /// The range that holds all of `bytes` bytes from `host`.
    pub(super) fn find(&self, host: Host, bytes: usize) -> Option<HostRange> {
        let ranges = lock(&self.0);
        let (_, range) = ranges.range(..=host.0).next_back()?;
        let offset = host.0 - range.start;
        let holds = offset < range.bytes && bytes <= range.bytes - offset;
        holds.then_some(*range)
    }

    fn allocate(&self, context: Handle, bytes: usize, flags: u32) -> Reply<usize> {
        if bytes == 0 {
            return Err(Code::INVALID_VALUE);
        }
        let layout = layout(bytes)?;
        // SAFETY: the layout has a size, checked above.
        let start = unsafe { alloc_zeroed(layout) }.expose_provenance();
        if start == 0 {
            return Err(Code::OUT_OF_MEMORY);
        }
        let range = HostRange { start, bytes, context, flags, allocated: true };
        lock(&self.0).insert(start, range);
        Ok(start)
    }

    fn register(&self, range: HostRange) -> Reply {
        let mut ranges = lock(&self.0);
        let end = range.start + range.bytes;
        let before = ranges.range(..end).next_back();
        if before.is_some_and(|(_, other)| other.start + other.bytes > range.start) {
            return Err(Code::HOST_MEMORY_ALREADY_REGISTERED);
        }
        ranges.insert(range.start, range);
        Ok(())
    }

    fn remove(&self, start: usize, allocated: bool) -> Option<HostRange> {
        let mut ranges = lock(&self.0);
        let matches = ranges.get(&start).is_some_and(|range| range.allocated == allocated);
        if matches { ranges.remove(&start) } else { None }
    }

    pub(super) fn remove_context(&self, context: Handle) {
        let mut ranges = lock(&self.0);
        ranges.values().filter(|range| range.context == context).for_each(HostRange::give_back);
        ranges.retain(|_, range| range.context != context);
    }
}

impl HostRange {
    /// Frees what `allocate` made; the range has just left the table.
    fn give_back(&self) {
        if let (true, Ok(layout)) = (self.allocated, layout(self.bytes)) {
            let start = std::ptr::with_exposed_provenance_mut(self.start);
            // SAFETY: made by `alloc_zeroed` with this layout, and it leaves the table only once.
            unsafe { dealloc(start, layout) };
        }
    }
}

fn alloc(place: Out<usize>, bytes: usize, flags: u32) -> Reply {
    let (driver, context) = live()?;
    let place = place.required()?;
    context.core.not_capturing()?;
    if flags & !ALLOC_FLAGS != 0 {
        return Err(Code::INVALID_VALUE);
    }
    place.set(driver.pinned.allocate(context.handle, bytes, flags)?)
}

driver_api! {
    fn cuMemHostAlloc(place: Out<usize>, bytes: usize, flags: u32) {
        alloc(place, bytes, flags)
    }

    fn cuMemAllocHost_v2(place: Out<usize>, bytes: usize) {
        alloc(place, bytes, 0)
    }

    fn cuMemFreeHost(start: Host) {
        let (driver, context) = current()?;
        if driver.pinned.find(start, 1).is_none_or(|range| range.start != start.0) {
            return Err(Code::INVALID_VALUE);
        }
        // Copies that are still to run read or write it.
        let waited = context.core.synchronize();
        driver.pinned.remove(start.0, true).ok_or(Code::INVALID_VALUE)?.give_back();
        waited
    }

    fn cuMemHostRegister_v2(start: Host, bytes: usize, flags: u32) {
        let (driver, context) = live()?;
        context.core.not_capturing()?;
        let start = start.checked(bytes)?.0;
        if bytes == 0 || flags & !REGISTER_FLAGS != 0 {
            return Err(Code::INVALID_VALUE);
        }
        let context = context.handle;
        driver.pinned.register(HostRange { start, bytes, context, flags, allocated: false })
    }

    fn cuMemHostUnregister(start: Host) {
        let (driver, context) = current()?;
        let waited = context.core.synchronize();
        driver.pinned.remove(start.0, false).ok_or(Code::HOST_MEMORY_NOT_REGISTERED)?;
        waited
    }

    fn cuMemHostGetFlags(flags: Out<u32>, host: Host) {
        let (driver, _) = live()?;
        let range = driver.pinned.find(host, 1).ok_or(Code::INVALID_VALUE)?;
        if range.allocated { flags.set(range.flags) } else { Err(Code::INVALID_VALUE) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_do_not_overlap_and_go_once() {
        let pinned = Pinned::default();
        let at = |start, bytes| HostRange { start, bytes, context: 1, flags: 0, allocated: false };
        assert_eq!(pinned.register(at(0x1000, 64)), Ok(()));
        for (start, bytes) in [(0x1000, 1), (0xfff, 2), (0x103f, 9), (0xf00, 0x1000)] {
            let again = pinned.register(at(start, bytes));
            assert_eq!(again, Err(Code::HOST_MEMORY_ALREADY_REGISTERED), "{start:#x}");
        }
        assert_eq!(pinned.register(at(0x1040, 8)), Ok(()));
        assert!(pinned.find(Host(0x1010), 48).is_some() && pinned.find(Host(0x1010), 49).is_none());
        assert!(pinned.remove(0x1000, true).is_none(), "registered is not allocated");
        assert!(pinned.remove(0x1000, false).is_some() && pinned.remove(0x1000, false).is_none());

        let start = pinned.allocate(2, 100, 0).unwrap();
        Host(start).write(100, |bytes| bytes.fill(3));
        assert_eq!(
            Host(start).read(100, |bytes| bytes.iter().map(|b| u32::from(*b)).sum::<u32>()),
            300
        );
        pinned.remove_context(2);
        assert!(pinned.find(Host(start), 1).is_none());
    }
}
