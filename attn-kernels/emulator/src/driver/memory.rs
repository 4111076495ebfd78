//! Device memory: which ranges exist and whose they are, `cuMemAlloc`, `cuMemFree` and what can be asked
//! of a pointer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::abi::{Handle, Host, Out, Reply, driver_api};
use super::code::Code;
use super::context::Context;
use super::machine::{Device, DevicePtr, HostPages, code_of};
use super::state::{Driver, current, live};
use super::table::lock;

/// The live ranges of device memory, by their start.
#[derive(Default)]
pub(super) struct Memory(Mutex<BTreeMap<u64, Range>>);

#[derive(Clone, Copy)]
pub(super) struct Range {
    pub(super) start: u64,
    pub(super) bytes: usize,
    pub(super) context: Handle,
    pub(super) kind: RangeKind,
}

/// How a range came to be, which says how it may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RangeKind {
    Allocated,
    /// Stream-ordered, from the pool of this handle.
    Pool(Handle),
    /// A variable of the module of this handle.
    Variable(Handle),
    /// Host memory that `cuMemFreeHost` gives back.
    PageLocked,
    /// As much the host's as the device's.
    Managed,
}

impl Memory {
    /// The range that holds `ptr`; one past the end counts for copies of nothing only.
    pub(super) fn find(&self, ptr: u64) -> Option<Range> {
        let ranges = lock(&self.0);
        let (_, range) = ranges.range(..=ptr).next_back()?;
        (ptr - range.start < range.bytes as u64).then_some(*range)
    }

    /// Whether the host reads and writes what stands there without a copy.
    pub(super) fn is_of_host(&self, ptr: u64) -> bool {
        let kind = self.find(ptr).map(|range| range.kind);
        matches!(kind, Some(RangeKind::PageLocked | RangeKind::Managed))
    }

    /// That `bytes` bytes from `ptr` lie in one live range.
    pub(super) fn check(&self, ptr: u64, bytes: usize) -> Reply<DevicePtr> {
        if bytes > 0 {
            let range = self.find(ptr).ok_or(Code::INVALID_VALUE)?;
            let left = range.bytes as u64 - (ptr - range.start);
            if bytes as u64 > left {
                return Err(Code::INVALID_VALUE);
            }
        }
        Ok(DevicePtr(ptr))
    }

    pub(super) fn insert(&self, range: Range) {
        lock(&self.0).insert(range.start, range);
    }

    /// Takes out the range that starts at `ptr`, unless it is a module's or the host's.
    pub(super) fn remove(&self, ptr: u64) -> Reply<Range> {
        let mut ranges = lock(&self.0);
        match ranges.get(&ptr).map(|range| range.kind) {
            None | Some(RangeKind::Variable(_) | RangeKind::PageLocked) => Err(Code::INVALID_VALUE),
            Some(_) => ranges.remove(&ptr).ok_or(Code::INVALID_VALUE),
        }
    }

    /// The end of page-locked memory, for kernels.
    pub(super) fn unmap(&self, device: &Device, start: u64) -> Reply {
        lock(&self.0).remove(&start).ok_or(Code::INVALID_VALUE)?;
        device.free(DevicePtr(start)).map_err(|error| code_of(&error))
    }

    pub(super) fn remove_module(&self, module: Handle) {
        lock(&self.0).retain(|_, range| range.kind != RangeKind::Variable(module));
    }

    /// The end of a context is the end of its memory.
    pub(super) fn remove_context(&self, device: &Device, context: Handle) {
        let mut ranges = lock(&self.0);
        for range in ranges.values().filter(|range| range.context == context) {
            if !matches!(range.kind, RangeKind::Variable(_)) {
                let _ = device.free(DevicePtr(range.start));
            }
        }
        ranges.retain(|_, range| range.context != context);
    }

    /// Bytes that are allocated from `pool`.
    pub(super) fn in_pool(&self, pool: Handle) -> u64 {
        let of_pool = |range: &&Range| range.kind == RangeKind::Pool(pool);
        lock(&self.0).values().filter(of_pool).map(|range| range.bytes as u64).sum()
    }
}

/// Allocates, and notes whose it is.
pub(super) fn allocate(
    driver: &Driver,
    context: &Context,
    bytes: usize,
    kind: RangeKind,
) -> Reply<u64> {
    let start = driver.device.alloc(bytes).map_err(|error| code_of(&error))?.0;
    driver.memory.insert(Range { start, bytes, context: context.handle, kind });
    Ok(start)
}

/// Pages at one address for the host and for kernels.
pub(super) fn allocate_on_host(
    driver: &Driver,
    context: &Context,
    bytes: usize,
    kind: RangeKind,
) -> Reply<Arc<HostPages>> {
    if bytes == 0 {
        return Err(Code::INVALID_VALUE);
    }
    let pages = HostPages::new(bytes).ok_or(Code::OUT_OF_MEMORY)?;
    let start = driver.device.map(&pages, bytes).map_err(|error| code_of(&error))?.0;
    driver.memory.insert(Range { start, bytes, context: context.handle, kind });
    Ok(pages)
}

/// Rows of pitched memory start at multiples of this (`CU_DEVICE_ATTRIBUTE_TEXTURE_PITCH_ALIGNMENT`
/// is smaller; drivers use 512).
const PITCH: usize = 512;

driver_api! {
    fn cuMemAlloc_v2(place: Out<u64>, bytes: usize) {
        let (driver, context) = live()?;
        let place = place.required()?;
        context.core.not_capturing()?;
        if bytes == 0 {
            return Err(Code::INVALID_VALUE);
        }
        place.set(allocate(driver, &context, bytes, RangeKind::Allocated)?)
    }

    fn cuMemAllocPitch_v2(place: Out<u64>, pitch: Out<usize>, width: usize, rows: usize, element: u32) {
        let (driver, context) = live()?;
        let (place, pitch) = (place.required()?, pitch.required()?);
        context.core.not_capturing()?;
        if width == 0 || rows == 0 || !matches!(element, 4 | 8 | 16) {
            return Err(Code::INVALID_VALUE);
        }
        let row = width.checked_next_multiple_of(PITCH).ok_or(Code::OUT_OF_MEMORY)?;
        let bytes = row.checked_mul(rows).ok_or(Code::OUT_OF_MEMORY)?;
        let start = allocate(driver, &context, bytes, RangeKind::Allocated)?;
        pitch.set(row)?;
        place.set(start)
    }

    fn cuMemFree_v2(ptr: u64) {
        let (driver, context) = current()?;
        if ptr == 0 {
            return context.core.check();
        }
        context.core.not_capturing()?;
        let range = driver.memory.remove(ptr)?;
        // As the driver does: the work that may still use it is done first.
        let waited = context.core.synchronize();
        driver.device.free(DevicePtr(range.start)).map_err(|error| code_of(&error))?;
        waited
    }

    fn cuMemGetInfo_v2(free: Out<usize>, total: Out<usize>) {
        let (driver, _) = live()?;
        let (free_bytes, total_bytes) = driver.device.memory_info();
        free.set(free_bytes as usize)?;
        total.set(total_bytes as usize)
    }

    fn cuMemGetAddressRange_v2(base: Out<u64>, bytes: Out<usize>, ptr: u64) {
        let (driver, _) = live()?;
        let range = driver.memory.find(ptr).ok_or(Code::NOT_FOUND)?;
        base.set_if_wanted(range.start);
        bytes.set_if_wanted(range.bytes);
        Ok(())
    }

    // Attributes are of several types: the caller passes a place of the right one.
    fn cuPointerGetAttribute(place: Out<u8>, attribute: u32, ptr: u64) {
        let (driver, _) = live()?;
        pointer_attribute(driver, place.required()?, attribute, ptr)
    }
}

fn pointer_attribute(driver: &Driver, place: Out<u8>, attribute: u32, ptr: u64) -> Reply {
    const MEMORY_TYPE_HOST: u32 = 1;
    const MEMORY_TYPE_DEVICE: u32 = 2;
    let mapped = driver.memory.find(ptr);
    let host = usize::try_from(ptr).ok().and_then(|ptr| driver.pinned.find(Host(ptr), 1));
    let managed = mapped.is_some_and(|range| range.kind == RangeKind::Managed);
    let (context, start, bytes) = match (&mapped, &host) {
        (Some(range), _) => (range.context, range.start, range.bytes),
        (None, Some(range)) => (range.context, range.start as u64, range.bytes),
        (None, None) => return Err(Code::INVALID_VALUE),
    };
    match attribute {
        1 => place.cast().set(context),
        2 if host.is_some() => place.cast().set(MEMORY_TYPE_HOST),
        2 => place.cast().set(MEMORY_TYPE_DEVICE),
        // The address for the device and for the host, where there is one.
        3 if mapped.is_some() => place.cast().set(ptr),
        4 if host.is_some() || managed => place.cast().set(ptr),
        3 | 4 => Err(Code::INVALID_VALUE),
        8 => place.cast().set(u8::from(managed)),
        9 => place.cast().set(0_i32),
        11 => place.cast().set(start),
        12 => place.cast().set(bytes),
        13 => place.cast().set(u8::from(mapped.is_some())),
        _ => Err(Code::NOT_SUPPORTED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_must_hold_all_of_a_copy() {
        let memory = Memory::default();
        let range = |start, kind| Range { start, bytes: 16, context: 1, kind };
        memory.insert(range(0x1000, RangeKind::Allocated));
        memory.insert(range(0x1010, RangeKind::Variable(7)));
        assert!(memory.check(0x1000, 16).is_ok() && memory.check(0x100f, 1).is_ok());
        assert!(memory.check(0x1008, 9).is_err(), "goes over into the next range");
        assert!(memory.check(0xfff, 1).is_err() && memory.check(0x1020, 1).is_err());
        assert!(memory.check(0, 0).is_ok());
        assert_eq!(memory.remove(0x1010).err(), Some(Code::INVALID_VALUE));
        assert_eq!(memory.remove(0x1004).err(), Some(Code::INVALID_VALUE));
        assert!(memory.remove(0x1000).is_ok());
        assert_eq!(memory.remove(0x1000).err(), Some(Code::INVALID_VALUE));
        memory.remove_module(7);
        assert!(memory.find(0x1010).is_none());
    }
}
