//! Page-locked host memory: `cuMemHostAlloc`, `cuMemHostRegister` and the table that tells a copy
//! whether it may run behind the caller's back. What is allocated here kernels reach as well, at the
//! host's own address, since addresses are unified; what is only registered they do not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::abi::{Handle, Host, Out, Reply, driver_api};
use super::code::Code;
use super::machine::HostPages;
use super::memory::{RangeKind, allocate_on_host};
use super::state::{current, live};
use super::table::lock;

/// The page-locked ranges, by their start.
#[derive(Default)]
pub(super) struct Pinned(Mutex<BTreeMap<usize, HostRange>>);

#[derive(Clone)]
pub(super) struct HostRange {
    pub(super) start: usize,
    pub(super) bytes: usize,
    pub(super) context: Handle,
    flags: u32,
    /// Allocated here, or only registered.
    pages: Option<Arc<HostPages>>,
}

/// `CU_MEMHOSTALLOC_PORTABLE` and `_WRITECOMBINED`, which change nothing here, and `_DEVICEMAP`, which
/// holds anyhow.
const ALLOC_FLAGS: u32 = 7;
/// `CU_MEMHOSTREGISTER_PORTABLE`; `_DEVICEMAP` is taken, but the device address it is for is refused
/// when it is asked for; `_READ_ONLY`.
const REGISTER_FLAGS: u32 = 1 | 2 | 8;

impl Pinned {
    /// The range that holds all of `bytes` bytes from `host`.
    pub(super) fn find(&self, host: Host, bytes: usize) -> Option<HostRange> {
        let ranges = lock(&self.0);
        let (_, range) = ranges.range(..=host.0).next_back()?;
        let offset = host.0 - range.start;
        let holds = offset < range.bytes && bytes <= range.bytes - offset;
        holds.then(|| range.clone())
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
        let matches = ranges.get(&start).is_some_and(|range| range.pages.is_some() == allocated);
        if matches { ranges.remove(&start) } else { None }
    }

    pub(super) fn remove_context(&self, context: Handle) {
        lock(&self.0).retain(|_, range| range.context != context);
    }
}

fn alloc(place: Out<usize>, bytes: usize, flags: u32) -> Reply {
    let (driver, context) = live()?;
    let place = place.required()?;
    context.core.not_capturing()?;
    if flags & !ALLOC_FLAGS != 0 {
        return Err(Code::INVALID_VALUE);
    }
    let pages = allocate_on_host(driver, &context, bytes, RangeKind::PageLocked)?;
    let (start, context) = (pages.address(), context.handle);
    let range = HostRange { start, bytes, context, flags, pages: Some(pages) };
    lock(&driver.pinned.0).insert(start, range);
    place.set(start)
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
        driver.pinned.remove(start.0, true).ok_or(Code::INVALID_VALUE)?;
        driver.memory.unmap(&driver.device, start.0 as u64)?;
        waited
    }

    fn cuMemHostGetDevicePointer_v2(place: Out<u64>, host: Host, flags: u32) {
        let (driver, _) = live()?;
        let place = place.required()?;
        let range = driver.pinned.find(host, 1).filter(|_| flags == 0).ok_or(Code::INVALID_VALUE)?;
        // Memory of the program's own stays out of the kernels' reach.
        range.pages.ok_or(Code::NOT_SUPPORTED)?;
        place.set(host.0 as u64)
    }

    fn cuMemHostRegister_v2(start: Host, bytes: usize, flags: u32) {
        let (driver, context) = live()?;
        context.core.not_capturing()?;
        let start = start.checked(bytes)?.0;
        if bytes == 0 || flags & !REGISTER_FLAGS != 0 {
            return Err(Code::INVALID_VALUE);
        }
        let context = context.handle;
        driver.pinned.register(HostRange { start, bytes, context, flags, pages: None })
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
        if range.pages.is_some() { flags.set(range.flags) } else { Err(Code::INVALID_VALUE) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_do_not_overlap_and_go_once() {
        let pinned = Pinned::default();
        let at = |start, bytes| HostRange { start, bytes, context: 1, flags: 0, pages: None };
        assert_eq!(pinned.register(at(0x1000, 64)), Ok(()));
        for (start, bytes) in [(0x1000, 1), (0xfff, 2), (0x103f, 9), (0xf00, 0x1000)] {
            let again = pinned.register(at(start, bytes));
            assert_eq!(again, Err(Code::HOST_MEMORY_ALREADY_REGISTERED), "{start:#x}");
        }
        assert_eq!(pinned.register(at(0x1040, 8)), Ok(()));
        assert!(pinned.find(Host(0x1010), 48).is_some() && pinned.find(Host(0x1010), 49).is_none());
        assert!(pinned.remove(0x1000, true).is_none(), "registered is not allocated");
        assert!(pinned.remove(0x1000, false).is_some() && pinned.remove(0x1000, false).is_none());
    }
}
