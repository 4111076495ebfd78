//! Stream-ordered allocation: `cuMemAllocAsync`, `cuMemFreeAsync` and pools. A pool keeps nothing back:
//! memory is taken from the device at the call and given back when the stream gets to the free.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::abi::{Handle, In, Out, Reply, driver_api};
use super::code::Code;
use super::context::Context;
use super::device::only_device;
use super::memory::{RangeKind, allocate};
use super::op::Op;
use super::state::{Driver, current, driver, live_stream};
use super::stream::Stream;
use super::table::lock;

#[derive(Default)]
pub(super) struct Pool {
    threshold: AtomicU64,
    /// The three reuse policies, all on at first; nothing is reused whatever they say.
    reuse: [AtomicU32; 3],
    high: AtomicU64,
}

/// `CUmemPoolProps`, of which only the device location and no exported handles are supported.
#[derive(Clone, Copy)]
#[repr(C)]
struct Props {
    allocation_type: u32,
    handle_types: u32,
    location_type: u32,
    location_id: i32,
    security_attributes: usize,
    reserved: [u8; 64],
}

fn alloc(
    driver: &Driver,
    context: &Context,
    stream: &Stream,
    pool: Handle,
    bytes: usize,
) -> Reply<u64> {
    let owner = driver.pools.get(pool)?;
    stream.not_capturing()?;
    if bytes == 0 {
        return Ok(0);
    }
    let ptr = allocate(driver, context, bytes, RangeKind::Pool(pool))?;
    owner.high.fetch_max(driver.memory.in_pool(pool), Ordering::Relaxed);
    Ok(ptr)
}

/// Attributes 1 to 3 are `int`, the others `cuuint64_t`.
fn attribute(driver: &Driver, handle: Handle, attribute: u32, place: Out<u8>) -> Reply {
    let pool = driver.pools.get(handle)?;
    match attribute {
        1..=3 => {
            let off = pool.reuse[attribute as usize - 1].load(Ordering::Relaxed);
            place.cast().set(u32::from(off == 0))
        }
        4 => place.cast().set(pool.threshold.load(Ordering::Relaxed)),
        5 | 7 => place.cast().set(driver.memory.in_pool(handle)),
        6 | 8 => place.cast().set(pool.high.load(Ordering::Relaxed)),
        _ => Err(Code::INVALID_VALUE),
    }
}

fn set_attribute(driver: &Driver, handle: Handle, attribute: u32, value: In<u8>) -> Reply {
    let pool = driver.pools.get(handle)?;
    match attribute {
        1..=3 => {
            let off = u32::from(value.cast::<u32>().get()? == 0);
            pool.reuse[attribute as usize - 1].store(off, Ordering::Relaxed);
        }
        4 => pool.threshold.store(value.cast().get()?, Ordering::Relaxed),
        // The high-water marks can only be set back.
        6 | 8 if value.cast::<u64>().get()? == 0 => {
            pool.high.store(driver.memory.in_pool(handle), Ordering::Relaxed);
        }
        _ => return Err(Code::INVALID_VALUE),
    }
    Ok(())
}

driver_api! {
    fn cuMemAllocAsync(place: Out<u64>, bytes: usize, stream: Handle) {
        let (driver, context, stream) = live_stream(stream)?;
        let place = place.required()?;
        let pool = *lock(&driver.current_pool);
        place.set(alloc(driver, &context, &stream, pool, bytes)?)
    }

    fn cuMemAllocFromPoolAsync(place: Out<u64>, bytes: usize, pool: Handle, stream: Handle) {
        let (driver, context, stream) = live_stream(stream)?;
        let place = place.required()?;
        place.set(alloc(driver, &context, &stream, pool, bytes)?)
    }

    fn cuMemFreeAsync(ptr: u64, stream: Handle) {
        let (driver, context) = current()?;
        let stream = driver.stream(&context, stream)?;
        if ptr == 0 {
            return context.core.check();
        }
        stream.not_capturing()?;
        let range = driver.memory.remove(ptr)?;
        stream.push(Op::Free(super::machine::DevicePtr(range.start)))?;
        context.core.check()
    }

    fn cuMemPoolCreate(place: Out<Handle>, props: In<Props>) {
        let driver = driver()?;
        let place = place.required()?;
        let props = props.get()?;
        const PINNED_TYPE: u32 = 1;
        const DEVICE_LOCATION: u32 = 1;
        if props.allocation_type != PINNED_TYPE || props.location_type != DEVICE_LOCATION {
            return Err(Code::NOT_SUPPORTED);
        }
        only_device(props.location_id)?;
        if props.handle_types != 0 || props.security_attributes != 0 {
            return Err(Code::NOT_SUPPORTED);
        }
        place.set(driver.pools.insert(Pool::default()))
    }

    fn cuMemPoolDestroy(pool: Handle) {
        let driver = driver()?;
        if pool == driver.default_pool {
            return Err(Code::INVALID_VALUE);
        }
        driver.pools.remove(pool)?;
        let mut current = lock(&driver.current_pool);
        if *current == pool {
            *current = driver.default_pool;
        }
        Ok(())
    }

    fn cuMemPoolTrimTo(pool: Handle, _keep: usize) {
        // A pool holds no unused memory that could be given back.
        driver()?.pools.get(pool).map(drop)
    }

    fn cuMemPoolGetAttribute(pool: Handle, which: u32, value: Out<u8>) {
        attribute(driver()?, pool, which, value.required()?)
    }

    fn cuMemPoolSetAttribute(pool: Handle, which: u32, value: In<u8>) {
        set_attribute(driver()?, pool, which, value)
    }

    fn cuDeviceGetDefaultMemPool(place: Out<Handle>, device: i32) {
        let driver = driver()?;
        only_device(device)?;
        place.set(driver.default_pool)
    }

    fn cuDeviceGetMemPool(place: Out<Handle>, device: i32) {
        let driver = driver()?;
        only_device(device)?;
        place.set(*lock(&driver.current_pool))
    }

    fn cuDeviceSetMemPool(device: i32, pool: Handle) {
        let driver = driver()?;
        only_device(device)?;
        driver.pools.get(pool)?;
        *lock(&driver.current_pool) = pool;
        Ok(())
    }
}
