//! Managed memory: `cuMemAllocManaged` and the advice about it. Host and kernels use it at one address
//! and need no copies; where its pages are is no question here, so advice and prefetching change nothing.

use super::abi::{Handle, Out, Reply, driver_api};
use super::code::Code;
use super::device::only_device;
use super::memory::{RangeKind, allocate_on_host};
use super::op::Op;
use super::state::{Driver, live, live_stream};

/// `CU_MEM_ATTACH_GLOBAL`, `_HOST`, `_SINGLE`.
const ATTACH: [u32; 3] = [1, 2, 4];
/// `CU_MEM_ADVISE_SET_READ_MOSTLY` to `CU_MEM_ADVISE_UNSET_ACCESSED_BY`.
const ADVICE: std::ops::RangeInclusive<u32> = 1..=6;
/// `CU_DEVICE_CPU`.
const HOST: i32 = -1;

/// `CUmemLocation`: of a kind, and of a number within it.
#[derive(Clone, Copy)]
#[repr(C)]
struct Location {
    kind: u32,
    id: i32,
}

impl Location {
    /// A device, the host, or a node of the host's memory; 0 is no place.
    fn check(self) -> Reply {
        match self.kind {
            1 => only_device(self.id),
            2..=4 => Ok(()),
            _ => Err(Code::INVALID_VALUE),
        }
    }
}

fn of_device(device: i32) -> Reply {
    if device == HOST { Ok(()) } else { only_device(device) }
}

/// That all of these bytes are managed.
fn managed(driver: &Driver, ptr: u64, bytes: usize) -> Reply {
    driver.memory.check(ptr, bytes)?;
    match driver.memory.find(ptr) {
        Some(range) if bytes > 0 && range.kind == RangeKind::Managed => Ok(()),
        _ => Err(Code::INVALID_VALUE),
    }
}

fn advise(ptr: u64, bytes: usize, advice: u32, place: Reply) -> Reply {
    let (driver, _) = live()?;
    place?;
    managed(driver, ptr, bytes)?;
    if ADVICE.contains(&advice) { Ok(()) } else { Err(Code::INVALID_VALUE) }
}

fn prefetch(ptr: u64, bytes: usize, place: Reply, flags: u32, stream: Handle) -> Reply {
    let (driver, _, stream) = live_stream(stream)?;
    place?;
    managed(driver, ptr, bytes)?;
    if flags != 0 {
        return Err(Code::INVALID_VALUE);
    }
    stream.push_now(Op::Nothing).map(drop)
}

driver_api! {
    fn cuMemAllocManaged(place: Out<u64>, bytes: usize, flags: u32) {
        let (driver, context) = live()?;
        let place = place.required()?;
        context.core.not_capturing()?;
        if !ATTACH[..2].contains(&flags) {
            return Err(Code::INVALID_VALUE);
        }
        let pages = allocate_on_host(driver, &context, bytes, RangeKind::Managed)?;
        place.set(pages.address() as u64)
    }

    fn cuMemAdvise(ptr: u64, bytes: usize, advice: u32, device: i32) {
        advise(ptr, bytes, advice, of_device(device))
    }

    fn cuMemAdvise_v2(ptr: u64, bytes: usize, advice: u32, location: Location) {
        advise(ptr, bytes, advice, location.check())
    }

    fn cuMemPrefetchAsync(ptr: u64, bytes: usize, device: i32, stream: Handle) {
        prefetch(ptr, bytes, of_device(device), 0, stream)
    }

    fn cuMemPrefetchAsync_v2(
        ptr: u64, bytes: usize, location: Location, flags: u32, stream: Handle,
    ) {
        prefetch(ptr, bytes, location.check(), flags, stream)
    }

    // The length is 0, for all of an allocation, or its size.
    fn cuStreamAttachMemAsync(stream: Handle, ptr: u64, bytes: usize, flags: u32) {
        let (driver, _, stream) = live_stream(stream)?;
        managed(driver, ptr, bytes.max(1))?;
        if !ATTACH.contains(&flags) {
            return Err(Code::INVALID_VALUE);
        }
        stream.push_now(Op::Nothing).map(drop)
    }
}
