//! What can be asked of a kernel: `cuFunc*` and `cuOccupancy*`. Register counts are made by `ptxas`,
//! which did not run: they are refused, and the occupancy is that of threads, blocks and shared memory.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::abi::{Handle, Out, Reply, driver_api};
use super::code::Code;
use super::machine::Profile;
use super::module::Function;
use super::state::live;
use crate::occupancy;

const MAX_DYNAMIC_SHARED: u32 = 8;
const CARVEOUT: u32 = 9;

fn of(handle: Handle) -> Reply<(Profile, Arc<Function>)> {
    let (driver, _) = live()?;
    Ok((*driver.device.profile(), driver.functions.get(handle)?))
}

fn attribute(profile: &Profile, function: &Function, which: u32) -> Reply<i32> {
    let value = match which {
        0 => max_threads(profile, function),
        1 => function.kernel.shared_bytes(),
        3 => function.kernel.local_bytes(),
        // The virtual architecture of the PTX and the architecture it runs on.
        5 => function.target,
        6 => profile.sm(),
        // Cache mode; cluster attributes: none is needed, none is set.
        7 | 10..=15 => 0,
        MAX_DYNAMIC_SHARED => return Ok(function.max_dynamic_shared.load(Ordering::Relaxed)),
        CARVEOUT => return Ok(function.carveout.load(Ordering::Relaxed)),
        // Constant memory per function and registers come from ptxas.
        2 | 4 => return Err(Code::NOT_SUPPORTED),
        _ => return Err(Code::INVALID_VALUE),
    };
    i32::try_from(value).map_err(|_| Code::INVALID_VALUE)
}

fn max_threads(profile: &Profile, function: &Function) -> u32 {
    let limit = profile.max_threads_per_block;
    function.kernel.max_threads().map_or(limit, |threads| threads.min(limit))
}

fn set_attribute(profile: &Profile, function: &Function, which: u32, value: i32) -> Reply {
    match which {
        MAX_DYNAMIC_SHARED => {
            let room =
                profile.shared_per_block_optin.saturating_sub(function.kernel.shared_bytes());
            if u32::try_from(value).is_ok_and(|bytes| bytes <= room) {
                function.max_dynamic_shared.store(value, Ordering::Relaxed);
                return Ok(());
            }
            Err(Code::INVALID_VALUE)
        }
        CARVEOUT if (-1..=100).contains(&value) => {
            function.carveout.store(value, Ordering::Relaxed);
            Ok(())
        }
        // Cluster attributes.
        10..=15 => Err(Code::NOT_SUPPORTED),
        _ => Err(Code::INVALID_VALUE),
    }
}

/// Blocks of so many threads that are resident on one multiprocessor at once.
fn blocks_per_sm(profile: &Profile, function: &Function, threads: u32, dynamic: usize) -> u32 {
    /// Small enough never to be the limit.
    const REGISTERS: u32 = 1;
    let shared = u32::try_from(dynamic).unwrap_or(u32::MAX);
    let shared = shared.saturating_add(function.kernel.shared_bytes());
    if threads > max_threads(profile, function) {
        return 0;
    }
    occupancy(profile, REGISTERS, shared, threads).blocks_per_sm
}

fn max_active(
    place: Out<i32>,
    function: Handle,
    threads: i32,
    dynamic: usize,
    flags: u32,
) -> Reply {
    let (profile, function) = of(function)?;
    let place = place.required()?;
    // CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE changes nothing without a cache.
    if threads <= 0 || flags > 1 {
        return Err(Code::INVALID_VALUE);
    }
    place.set(blocks_per_sm(&profile, &function, threads.unsigned_abs(), dynamic) as i32)
}

/// `CUoccupancyB2DSize`: the dynamic shared memory of a block of so many threads.
type SharedOfBlock = Option<extern "C" fn(i32) -> usize>;

/// The block size with the most resident threads, the largest of several, and the grid that fills the
/// device with it.
fn best_block(
    (grid, block): (Out<i32>, Out<i32>),
    function: Handle,
    (shared_of_block, dynamic): (SharedOfBlock, usize),
    limit: i32,
    flags: u32,
) -> Reply {
    let (profile, function) = of(function)?;
    let (grid, block) = (grid.required()?, block.required()?);
    if limit < 0 || flags > 1 {
        return Err(Code::INVALID_VALUE);
    }
    let most = max_threads(&profile, &function);
    let most = if limit == 0 { most } else { most.min(limit.unsigned_abs()) };
    let candidates =
        (1..=most / 32).map(|warps| warps * 32).chain((most % 32 != 0).then_some(most));
    let best = candidates
        .map(|threads| {
            let dynamic = shared_of_block.map_or(dynamic, |shared| shared(threads as i32));
            (blocks_per_sm(&profile, &function, threads, dynamic) * threads, threads)
        })
        .max()
        .filter(|(resident, _)| *resident > 0);
    let (resident, threads) = best.ok_or(Code::INVALID_VALUE)?;
    grid.set((resident / threads * profile.sm_count) as i32)?;
    block.set(threads as i32)
}

/// Shared memory that is left to each of `blocks` blocks on one multiprocessor.
fn available_shared(profile: &Profile, function: &Function, blocks: u32) -> usize {
    let share = profile.shared_per_sm / blocks / 128 * 128;
    let used = profile.shared_reserved + function.kernel.shared_bytes();
    let optin = profile.shared_per_block_optin.saturating_sub(function.kernel.shared_bytes());
    share.saturating_sub(used).min(optin) as usize
}

driver_api! {
    fn cuFuncGetAttribute(value: Out<i32>, which: u32, function: Handle) {
        let (profile, function) = of(function)?;
        value.set(attribute(&profile, &function, which)?)
    }

    fn cuFuncSetAttribute(function: Handle, which: u32, value: i32) {
        let (profile, function) = of(function)?;
        set_attribute(&profile, &function, which, value)
    }

    fn cuFuncSetCacheConfig(function: Handle, config: u32) {
        of(function)?;
        if config > 3 { Err(Code::INVALID_VALUE) } else { Ok(()) }
    }

    fn cuFuncSetSharedMemConfig(function: Handle, config: u32) {
        of(function)?;
        if config > 2 { Err(Code::INVALID_VALUE) } else { Ok(()) }
    }

    fn cuFuncGetModule(place: Out<Handle>, function: Handle) {
        place.set(of(function)?.1.handle_of_module)
    }

    fn cuFuncGetParamInfo(function: Handle, index: usize, offset: Out<usize>, size: Out<usize>) {
        let (_, function) = of(function)?;
        let (at, bytes) = *function.kernel.params().get(index).ok_or(Code::INVALID_VALUE)?;
        offset.set(at)?;
        size.set_if_wanted(bytes);
        Ok(())
    }

    fn cuOccupancyMaxActiveBlocksPerMultiprocessor(
        blocks: Out<i32>, function: Handle, threads: i32, dynamic: usize,
    ) {
        max_active(blocks, function, threads, dynamic, 0)
    }

    fn cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
        blocks: Out<i32>, function: Handle, threads: i32, dynamic: usize, flags: u32,
    ) {
        max_active(blocks, function, threads, dynamic, flags)
    }

    fn cuOccupancyMaxPotentialBlockSize(
        grid: Out<i32>, block: Out<i32>, function: Handle, shared: SharedOfBlock, dynamic: usize,
        limit: i32,
    ) {
        best_block((grid, block), function, (shared, dynamic), limit, 0)
    }

    fn cuOccupancyMaxPotentialBlockSizeWithFlags(
        grid: Out<i32>, block: Out<i32>, function: Handle, shared: SharedOfBlock, dynamic: usize,
        limit: i32, flags: u32,
    ) {
        best_block((grid, block), function, (shared, dynamic), limit, flags)
    }

    fn cuOccupancyAvailableDynamicSMemPerBlock(
        bytes: Out<usize>, function: Handle, blocks: i32, threads: i32,
    ) {
        let (profile, function) = of(function)?;
        let blocks = u32::try_from(blocks).ok().filter(|blocks| *blocks > 0);
        if threads <= 0 {
            return Err(Code::INVALID_VALUE);
        }
        bytes.set(available_shared(&profile, &function, blocks.ok_or(Code::INVALID_VALUE)?))
    }
}
