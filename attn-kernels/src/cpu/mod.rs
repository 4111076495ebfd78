//! Attention on the CPU: SIMD where the machine has it, threads of the ambient rayon pool.

mod append;
mod buffer;
pub(crate) mod care;
pub(crate) mod integer;
pub(crate) mod kernels;
mod moves;
pub(crate) mod order;
pub(crate) mod scalar;
mod walk;
mod work;

use std::ops::Range;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

pub use self::buffer::CpuBuffer;
use self::kernels::Isa;
use self::walk::{Call, Workspace};
pub(crate) use self::work::Work;
use crate::attention::AttentionShape;
use crate::backend::{Backend, KvCache, check_append, check_copies, check_gather, check_swap};
use crate::batch::Batch;
use crate::error::Error;
use crate::math::AttnMath;
use crate::mem::Claims;
use crate::observe::{HeadAbsmax, MemoryStats};
use crate::plan::Plan;
use crate::scales::LayerScales;
use crate::shape::{CacheShape, Side};

/// Attention on the CPU.
///
/// Tasks run on the ambient rayon pool: a caller picks the threads with
/// [`ThreadPool::install`](rayon::ThreadPool::install). Results do not depend on them. Keep one
/// backend and use it for every call: it keeps the memory that calls need.
///
/// Threads that take subnormal numbers for 0 (MXCSR's DAZ) read FP8 codes as others do where the
/// thread that calls is one of them, or none is. Pool threads that were told so by themselves are
/// not noticed: subnormal codes may be 0 to them.
#[derive(Debug)]
pub struct CpuBackend {
    isa: Isa,
    workspaces: Mutex<Vec<Workspace>>,
    calls: Mutex<Vec<CallMemory>>,
}

/// Memory of a whole call, kept from call to call.
#[derive(Debug, Default)]
struct CallMemory {
    states: Vec<f32>,
    taken: [Vec<AtomicBool>; 3],
}

impl CpuBackend {
    /// With the best instruction set that this machine has.
    pub fn new() -> Self {
        Self::with(Isa::detect())
    }

    /// In plain code only, whatever the machine has: for comparison.
    pub fn scalar() -> Self {
        Self::with(Isa::Scalar)
    }

    fn with(isa: Isa) -> Self {
        Self { isa, workspaces: Mutex::default(), calls: Mutex::default() }
    }

    /// The instruction set in use: `scalar`, `avx2`, or `avx512` (feature `unverified-simd`).
    pub fn isa(&self) -> &'static str {
        self.isa.name()
    }

    /// Runs `f` with a workspace from the pool.
    fn with_workspace(&self, f: impl FnOnce(&mut Workspace)) {
        let mut ws = take(&self.workspaces);
        f(&mut ws);
        give(&self.workspaces, ws);
    }
}

impl Default for CpuBackend {
    fn default() -> Self {
        Self::new()
    }
}

fn take<T: Default>(pool: &Mutex<Vec<T>>) -> T {
    pool.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
}

fn give<T>(pool: &Mutex<Vec<T>>, item: T) {
    pool.lock().unwrap_or_else(PoisonError::into_inner).push(item);
}

impl Backend for CpuBackend {
    type Buffer = CpuBuffer;
    type Input<'a> = &'a [f32];
    type Output<'a> = &'a mut [f32];

    fn new_cache(&self, shape: CacheShape) -> Result<KvCache<CpuBuffer>, Error> {
        shape.validate()?;
        let k = CpuBuffer::new(&shape, Side::K)?;
        let v = CpuBuffer::new(&shape, Side::V)?;
        Ok(KvCache { shape, k, v })
    }

    fn plan(
        &self,
        cache: &CacheShape,
        attention: &AttentionShape,
        batch: &Batch,
    ) -> Result<Plan, Error> {
        let mut plan = Plan::new(cache, attention, batch)?;
        plan.work = Work::new(&plan);
        Ok(plan)
    }

    fn append(
        &self,
        cache: &mut KvCache<CpuBuffer>,
        scales: &LayerScales,
        k: &[f32],
        v: &[f32],
        slots: &[i64],
    ) -> Result<(), Error> {
        check_append(&cache.shape, scales, k.len(), v.len(), slots)?;
        append::append(cache, scales, k, v, slots, None);
        Ok(())
    }

    fn append_observed(
        &self,
        cache: &mut KvCache<CpuBuffer>,
        scales: &LayerScales,
        k: &[f32],
        v: &[f32],
        slots: &[i64],
        seen: &mut HeadAbsmax,
    ) -> Result<(), Error> {
        check_append(&cache.shape, scales, k.len(), v.len(), slots)?;
        seen.validate(cache.shape.num_kv_heads)?;
        append::append(cache, scales, k, v, slots, Some(seen));
        Ok(())
    }

    fn attention(
        &self,
        plan: &Plan,
        cache: &KvCache<CpuBuffer>,
        scales: &LayerScales,
        q: &[f32],
        out: &mut [f32],
        lse: Option<&mut [f32]>,
    ) -> Result<(), Error> {
        plan.check_call(&cache.shape, q.len(), out.len(), lse.as_ref().map(|l| l.len()))?;
        scales.validate(&cache.shape, Some(plan.attention().num_heads))?;
        let mut memory = take(&self.calls);
        let (group, d) = (plan.group_size(), cache.shape.head_dim);
        let [taken_out, taken_lse, taken_states] = &mut memory.taken;
        let call = Call {
            plan,
            cache,
            scales,
            kernels: self.isa.kernels(cache.shape.k_type, cache.shape.v_type),
            integer: (plan.attention().math == AttnMath::Int8).then(|| self.isa.integer()),
            q,
            out: Claims::new(out, group * d, taken_out),
            lse: lse.map(|lse| Claims::new(lse, group, taken_lse)),
        };
        // A plan of another backend has not been cut up.
        let cut;
        let work = match &plan.work {
            work if work.tasks.is_empty() && plan.num_rows() > 0 => {
                cut = Work::new(plan);
                &cut
            }
            work => work,
        };
        let unit = walk::state_unit(d);
        let size = work.states * unit;
        if memory.states.len() < size {
            memory.states.resize(size, 0.0);
        }
        let partials = Claims::new(&mut memory.states[..size], unit, taken_states);
        for_each(&work.tasks, |task| {
            self.with_workspace(|ws| walk::run(&call, task, ws, &partials));
        });
        for_each(&work.joins, |(whole, head)| {
            self.with_workspace(|ws| walk::join(&call, whole, *head, ws, &memory.states));
        });
        give(&self.calls, memory);
        Ok(())
    }

    fn copy_blocks(
        &self,
        cache: &mut KvCache<CpuBuffer>,
        copies: &[(u32, u32)],
    ) -> Result<(), Error> {
        check_copies(&cache.shape, &cache.shape, copies)?;
        for &(src, dst) in copies {
            cache.k.copy_block(src as usize, dst as usize);
            cache.v.copy_block(src as usize, dst as usize);
        }
        Ok(())
    }

    fn copy_blocks_from(
        &self,
        cache: &mut KvCache<CpuBuffer>,
        source: &KvCache<CpuBuffer>,
        copies: &[(u32, u32)],
    ) -> Result<(), Error> {
        check_copies(&cache.shape, &source.shape, copies)?;
        moves::copy_from(cache, source, copies);
        Ok(())
    }

    fn gather(
        &self,
        cache: &KvCache<CpuBuffer>,
        scales: &LayerScales,
        block_table: &[u32],
        tokens: Range<usize>,
        k: &mut [f32],
        v: &mut [f32],
    ) -> Result<(), Error> {
        check_gather(&cache.shape, scales, block_table, &tokens, k.len(), v.len())?;
        for (side, out) in [(Side::K, k), (Side::V, v)] {
            moves::gather(cache, scales, side, block_table, tokens.clone(), out);
        }
        Ok(())
    }

    fn swap_out(
        &self,
        cache: &KvCache<CpuBuffer>,
        blocks: &[u32],
        host: &mut [u8],
    ) -> Result<(), Error> {
        check_swap(&cache.shape, blocks, host.len())?;
        moves::swap_out(cache, blocks, host);
        Ok(())
    }

    fn swap_in(
        &self,
        cache: &mut KvCache<CpuBuffer>,
        blocks: &[u32],
        host: &[u8],
    ) -> Result<(), Error> {
        check_swap(&cache.shape, blocks, host.len())?;
        moves::swap_in(cache, blocks, host);
        Ok(())
    }

    fn memory_stats(&self, cache: &KvCache<CpuBuffer>) -> MemoryStats {
        let [k, v] = [&cache.k, &cache.v].map(CpuBuffer::memory_stats);
        MemoryStats {
            bytes: k.bytes + v.bytes,
            huge_pages: k.huge_pages && v.huge_pages,
            huge_bytes: k.huge_bytes + v.huge_bytes,
        }
    }
}

/// Runs `f` on every item, one at a time per thread; on this thread where there is nothing to share.
fn for_each<T: Sync>(items: &[T], f: impl Fn(&T) + Send + Sync) {
    if items.len() <= 1 || rayon::current_num_threads() == 1 {
        items.iter().for_each(f);
    } else {
        items.par_iter().with_max_len(1).for_each(f);
    }
}
