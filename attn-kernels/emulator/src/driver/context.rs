//! Contexts: `cuCtx*` and `cuDevicePrimaryCtx*`, and what ends with a context.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use super::abi::{Handle, In, Out, Reply, driver_api};
use super::code::Code;
use super::core::{Core, Order, STACK};
use super::device::only_device;
use super::state::{Driver, current, driver, live};
use super::stream::Stream;
use super::table::lock;

pub(super) struct Context {
    pub(super) handle: Handle,
    pub(super) core: Arc<Core>,
    pub(super) legacy: Arc<Stream>,
    flags: AtomicU32,
    cache_config: AtomicU32,
    limits: Mutex<[usize; LIMITS]>,
}

/// `CU_LIMIT_STACK_SIZE` to `CU_LIMIT_PERSISTING_L2_CACHE_SIZE`.
const LIMITS: usize = 7;
/// What a driver reports before anything is set. They limit nothing here: kernels of the emulator have
/// no call stack, heap or print buffer.
const DEFAULT_LIMITS: [usize; LIMITS] = [1024, 1 << 20, 8 << 20, 2, 2048, 128, 0];
/// Scheduling (3 bits), map host, local memory resize, coredump and sync-memops flags.
const ALL_FLAGS: u32 = 0xff;

impl Context {
    fn new(driver: &Driver, handle: Handle, flags: u32) -> Arc<Context> {
        let report = Arc::clone(&driver.report);
        let core = Core::new(handle, driver.device.clone(), driver.streams_mode, report);
        Arc::new(Context {
            handle,
            legacy: Stream::new(&core, Order::Legacy, 0),
            core,
            flags: AtomicU32::new(flags),
            cache_config: AtomicU32::new(0),
            limits: Mutex::new(DEFAULT_LIMITS),
        })
    }

    /// A default stream of one thread.
    pub(super) fn new_default_stream(&self) -> Arc<Stream> {
        Stream::new(&self.core, Order::Blocking, 0)
    }
}

fn create(flags: u32, device: i32) -> Reply<Handle> {
    let driver = driver()?;
    only_device(device)?;
    checked_flags(flags)?;
    Ok(driver.contexts.insert_with(|handle| Context::new(driver, handle, flags)))
}

fn create_and_push(place: Out<Handle>, flags: u32, device: i32) -> Reply {
    let place = place.required()?;
    let context = create(flags, device)?;
    STACK.with_borrow_mut(|stack| stack.push(context));
    place.set(context)
}

fn checked_flags(flags: u32) -> Reply {
    if flags & !ALL_FLAGS == 0 { Ok(()) } else { Err(Code::INVALID_VALUE) }
}

/// Waits for the work and takes everything away that was made in the context.
fn clear(driver: &Driver, context: &Context) {
    let of_context = context.handle;
    // Its error is gone with it.
    let _ = context.core.synchronize();
    driver.functions.remove_where(|function| function.context == of_context);
    driver.modules.remove_where(|module| module.context == of_context);
    driver.streams.remove_where(|stream| stream.context() == of_context);
    driver.events.remove_where(|event| event.context == of_context);
    driver.execs.remove_where(|exec| exec.context == of_context);
    driver.memory.remove_context(&driver.device, of_context);
    driver.pinned.remove_context(of_context);
}

fn destroy(driver: &Driver, handle: Handle) -> Reply {
    let context = driver.contexts.get(handle).map_err(|_| Code::INVALID_CONTEXT)?;
    clear(driver, &context);
    context.core.kill();
    driver.contexts.remove(handle).map(drop)
}

fn put_on_top(handle: Handle) {
    STACK.with_borrow_mut(|stack| {
        stack.pop();
        if handle != 0 {
            stack.push(handle);
        }
    });
}

fn known(driver: &Driver, handle: Handle) -> Reply<Arc<Context>> {
    driver.contexts.get(handle).map_err(|_| Code::INVALID_CONTEXT)
}

fn limit_index(limit: u32) -> Reply<usize> {
    let index = limit as usize;
    if index < LIMITS { Ok(index) } else { Err(Code::UNSUPPORTED_LIMIT) }
}

/// The flags of `cuStreamCreate` and the like for the named greatest and least priority.
pub(super) const GREATEST_PRIORITY: i32 = -5;

driver_api! {
    fn cuDevicePrimaryCtxRetain(place: Out<Handle>, device: i32) {
        let driver = driver()?;
        only_device(device)?;
        let place = place.required()?;
        let mut primary = lock(&driver.primary);
        let flags = primary.flags;
        let context = *primary.context.get_or_insert_with(|| {
            driver.contexts.insert_with(|handle| Context::new(driver, handle, flags))
        });
        primary.retained += 1;
        place.set(context)
    }

    fn cuDevicePrimaryCtxRelease_v2(device: i32) {
        let driver = driver()?;
        only_device(device)?;
        let mut primary = lock(&driver.primary);
        primary.retained = primary.retained.checked_sub(1).ok_or(Code::INVALID_CONTEXT)?;
        let last = primary.retained == 0;
        match primary.context.take_if(|_| last) {
            Some(context) => destroy(driver, context),
            None => Ok(()),
        }
    }

    fn cuDevicePrimaryCtxReset_v2(device: i32) {
        let driver = driver()?;
        only_device(device)?;
        if let Some(handle) = lock(&driver.primary).context {
            let context = known(driver, handle)?;
            clear(driver, &context);
            context.core.clear_fault();
        }
        Ok(())
    }

    fn cuDevicePrimaryCtxSetFlags_v2(device: i32, flags: u32) {
        let driver = driver()?;
        only_device(device)?;
        checked_flags(flags)?;
        let mut primary = lock(&driver.primary);
        primary.flags = flags;
        if let Some(handle) = primary.context {
            known(driver, handle)?.flags.store(flags, Ordering::Relaxed);
        }
        Ok(())
    }

    fn cuDevicePrimaryCtxGetState(device: i32, flags: Out<u32>, active: Out<i32>) {
        let driver = driver()?;
        only_device(device)?;
        let primary = lock(&driver.primary);
        flags.set(primary.flags)?;
        active.set(primary.context.is_some().into())
    }

    fn cuCtxCreate_v2(place: Out<Handle>, flags: u32, device: i32) {
        create_and_push(place, flags, device)
    }

    fn cuCtxCreate_v3(place: Out<Handle>, affinity: In<u8>, affinities: i32, flags: u32, device: i32) {
        // Execution affinity is a share of the multiprocessors, which no emulated work has.
        if !affinity.is_null() || affinities != 0 {
            return Err(Code::NOT_SUPPORTED);
        }
        create_and_push(place, flags, device)
    }

    fn cuCtxCreate_v4(place: Out<Handle>, params: In<u8>, flags: u32, device: i32) {
        if !params.is_null() {
            return Err(Code::NOT_SUPPORTED);
        }
        create_and_push(place, flags, device)
    }

    fn cuCtxDestroy_v2(handle: Handle) {
        let driver = driver()?;
        if lock(&driver.primary).context == Some(handle) {
            return Err(Code::INVALID_CONTEXT);
        }
        destroy(driver, handle)?;
        STACK.with_borrow_mut(|stack| {
            stack.pop_if(|top| *top == handle);
        });
        Ok(())
    }

    fn cuCtxPushCurrent_v2(handle: Handle) {
        known(driver()?, handle)?;
        STACK.with_borrow_mut(|stack| stack.push(handle));
        Ok(())
    }

    fn cuCtxPopCurrent_v2(place: Out<Handle>) {
        driver()?;
        let top = STACK.with_borrow_mut(Vec::pop).ok_or(Code::INVALID_CONTEXT)?;
        place.set_if_wanted(top);
        Ok(())
    }

    fn cuCtxSetCurrent(handle: Handle) {
        let driver = driver()?;
        if handle != 0 {
            known(driver, handle)?;
        }
        put_on_top(handle);
        Ok(())
    }

    fn cuCtxGetCurrent(place: Out<Handle>) {
        driver()?;
        place.set(STACK.with_borrow(|stack| stack.last().copied()).unwrap_or(0))
    }

    fn cuCtxGetDevice(place: Out<i32>) {
        current()?;
        place.set(0)
    }

    fn cuCtxGetId(handle: Handle, place: Out<u64>) {
        let context = if handle == 0 { current()?.1 } else { known(driver()?, handle)? };
        place.set(context.handle as u64)
    }

    fn cuCtxGetFlags(place: Out<u32>) {
        place.set(current()?.1.flags.load(Ordering::Relaxed))
    }

    fn cuCtxSetFlags(flags: u32) {
        checked_flags(flags)?;
        current()?.1.flags.store(flags, Ordering::Relaxed);
        Ok(())
    }

    fn cuCtxGetApiVersion(handle: Handle, place: Out<u32>) {
        if handle == 0 { current()?; } else { known(driver()?, handle)?; }
        place.set(3020)
    }

    fn cuCtxSynchronize() {
        let (_, context) = live()?;
        context.core.not_capturing()?;
        context.core.synchronize()
    }

    fn cuCtxGetStreamPriorityRange(least: Out<i32>, greatest: Out<i32>) {
        current()?;
        least.set_if_wanted(0);
        greatest.set_if_wanted(GREATEST_PRIORITY);
        Ok(())
    }

    fn cuCtxGetLimit(value: Out<usize>, limit: u32) {
        value.set(lock(&current()?.1.limits)[limit_index(limit)?])
    }

    fn cuCtxSetLimit(limit: u32, value: usize) {
        let index = limit_index(limit)?;
        lock(&live()?.1.limits)[index] = value;
        Ok(())
    }

    fn cuCtxGetCacheConfig(config: Out<u32>) {
        config.set(current()?.1.cache_config.load(Ordering::Relaxed))
    }

    fn cuCtxSetCacheConfig(config: u32) {
        let (_, context) = live()?;
        if config > 3 {
            return Err(Code::INVALID_VALUE);
        }
        context.cache_config.store(config, Ordering::Relaxed);
        Ok(())
    }

    // There is no profiler to start; the counters of every launch go to CUDA_EMULATOR_REPORT.
    fn cuProfilerStart() {
        current().map(drop)
    }

    fn cuProfilerStop() {
        current().map(drop)
    }
}
