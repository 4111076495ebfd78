//! The backend: arguments are checked, laid out as the kernels want them, and launched.

mod append;
mod attend;
mod moves;
mod planned;
mod swap;
mod tensors;
mod upload;

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[cfg(feature = "cuda")]
use super::device::CudaDevice;
use super::kept::{Kept, Placed};
use super::names::{AttentionKernel, check_cache, unsupported};
use super::tensor::{CudaBuffer, CudaTensor};
use super::{Driver, Launch};
use crate::attention::AttentionShape;
use crate::backend::{Backend, KvCache};
use crate::batch::Batch;
use crate::error::Error;
use crate::math::AttnMath;
use crate::observe::HeadAbsmax;
use crate::plan::Plan;
use crate::scales::LayerScales;
use crate::shape::{CacheShape, Side};
use swap::Staging;
use upload::{Area, Pool, Upload};

/// Threads of a CTA, in every kernel.
const THREADS: u32 = 128;
const WARPS: usize = 4;

/// Attention on a CUDA device.
///
/// K and V may be f16, bf16, E4M3, E5M2 or INT8, `head_dim` 64, 96, 128 or 256, with up to 16 query
/// heads per KV head; what else is asked for is [`Error::Unsupported`]. Calls of one backend take
/// effect in order, and those of several threads one after the other.
///
/// # What a step costs beside its kernels
///
/// [`plan`](Backend::plan) sends tasks and block tables, once for all layers. The slots of `append` and
/// the scales of a cache are sent when they differ from the last ones. So the second and every later
/// layer of a step, and a step whose slots and scales were seen before, allocate nothing, send nothing
/// and wait for nothing: `append` and [`attention`](Backend::attention) are kernel launches alone, and
/// can be captured into a CUDA graph after the same calls were made once; what would have to be sent is
/// [`Error::Captured`] meanwhile, and is sent by the next call outside of the capture.
///
/// A graph holds addresses. The backend, the plan, the caches and the tensors must outlive it. A replay
/// reads the slots and scales that are on the device then: a later call with others replaces them, and
/// more slots than any before move, so that the call that was captured must be made again before a
/// replay, and the graph captured again where there were more. A plan that another backend made works
/// too, but is sent with every call.
#[derive(Debug)]
pub struct CudaBackend<
    #[cfg(feature = "cuda")] D: Driver = CudaDevice,
    #[cfg(not(feature = "cuda"))] D: Driver,
> {
    driver: D,
    /// The slots of the last append.
    slots: Kept<i64, D::Memory>,
    /// For what one plan or one call sends. Also tells plans of this backend from others'.
    areas: Arc<Pool<D::Memory>>,
    /// Held from the first list that a call places to the last launch that reads one, and while
    /// attention and the merge after it share states: calls of several threads take turns.
    order: Mutex<()>,
    /// States of chunks: launches of one stream take turns.
    states: Mutex<Option<(Arc<D::Memory>, usize)>>,
    staging: Mutex<Option<Staging<D>>>,
}

#[cfg(feature = "cuda")]
impl CudaBackend {
    /// A backend on the CUDA device of that number.
    ///
    /// # Errors
    ///
    /// Those of [`CudaDevice::new`].
    pub fn open(ordinal: usize) -> Result<Self, Error> {
        CudaDevice::new(ordinal).map(Self::new)
    }
}

impl<D: Driver> CudaBackend<D> {
    /// A backend on a device.
    pub fn new(driver: D) -> Self {
        Self {
            driver,
            slots: Kept::default(),
            areas: Arc::default(),
            order: Mutex::default(),
            states: Mutex::default(),
            staging: Mutex::default(),
        }
    }

    /// The device.
    pub fn driver(&self) -> &D {
        &self.driver
    }

    /// The stored codes of K or V, block after block.
    pub fn codes(&self, buffer: &CudaBuffer<D::Memory>) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; buffer.bytes];
        self.driver.read(&buffer.memory, 0, &mut bytes)?;
        Ok(bytes)
    }

    /// The dynamic scales, `[blocks][num_kv_heads][block_size]` f32, little endian; empty without any.
    pub fn scales(
        &self,
        cache: &CacheShape,
        side: &CudaBuffer<D::Memory>,
    ) -> Result<Vec<u8>, Error> {
        let Some(scales) = &side.scales else { return Ok(Vec::new()) };
        let mut bytes = vec![0; cache.num_slots() * cache.num_kv_heads * 4];
        self.driver.read(scales, 0, &mut bytes)?;
        Ok(bytes)
    }

    /// Refuses memory of other devices and streams.
    fn check_owned<'a>(
        &self,
        all: impl IntoIterator<Item = (&'static str, &'a D::Memory)>,
    ) -> Result<(), Error> {
        match all.into_iter().find(|(_, memory)| !self.driver.owns(memory)) {
            Some((name, _)) => Err(Error::ForeignMemory { name }),
            None => Ok(()),
        }
    }

    /// The same of a cache. All its memory is of one device.
    fn check_cache(&self, cache: &KvCache<CudaBuffer<D::Memory>>) -> Result<(), Error> {
        self.check_owned([("the cache", &cache.k.memory)])
    }

    /// Where a buffer's dynamic scales are; 0 without any.
    fn scales_address(&self, buffer: &CudaBuffer<D::Memory>) -> u64 {
        buffer.scales.as_ref().map_or(0, |scales| self.driver.address(scales))
    }

    /// Where the given scales of one side of a cache are.
    fn given<'a>(
        &self,
        cache: &'a KvCache<CudaBuffer<D::Memory>>,
        scales: &LayerScales,
        side: Side,
    ) -> Result<Placed<'a, u32, D::Memory>, Error> {
        let (given, of) = (&cache.buffer(side).given, scales.of(side));
        given.place_floats(&self.driver, cache.shape.num_kv_heads, |head| of.get(head))
    }

    /// Sends what one call needs; the memory it is in, and its address.
    fn send(&self, upload: &Upload) -> Result<(Area<D::Memory>, u64), Error> {
        let area = upload.send(&self.driver, &self.areas)?;
        let base = self.driver.address(area.memory());
        Ok((area, base))
    }

    /// Starts a kernel.
    ///
    /// # Safety
    ///
    /// As of [`Driver::launch`].
    unsafe fn launch(
        &self,
        module: &str,
        kernel: &str,
        grid: [u32; 3],
        shared: u32,
        argument: &[u8],
    ) -> Result<(), Error> {
        let launch = Launch { module, kernel, grid, threads: THREADS, shared, argument };
        // SAFETY: the caller's promise.
        unsafe { self.driver.launch(&launch) }
    }

    /// The kernel for `tiles` tiles of rows, if the device has it.
    fn kernel(&self, plan: &Plan, tiles: usize) -> Result<AttentionKernel, Error> {
        let has = |k: &AttentionKernel| self.driver.has(&k.module, &k.name);
        let kernel = AttentionKernel::of_plan(plan, tiles, has)?;
        if kernel.shared > self.driver.shared_limit() {
            let (need, have) = (kernel.shared, self.driver.shared_limit());
            return Err(unsupported(format!(
                "{}: {need} bytes of shared memory, {have} on this device",
                kernel.name
            )));
        }
        if !has(&kernel)? {
            return Err(self.driver.missing(&kernel.module, &kernel.name));
        }
        Ok(kernel)
    }
}

impl<D: Driver> Backend for CudaBackend<D> {
    type Buffer = CudaBuffer<D::Memory>;
    type Input<'a> = &'a CudaTensor<D::Memory>;
    type Output<'a> = &'a mut CudaTensor<D::Memory>;

    fn new_cache(&self, shape: CacheShape) -> Result<KvCache<Self::Buffer>, Error> {
        shape.validate()?;
        check_cache(&shape)?;
        let buffer = |side: Side| -> Result<_, Error> {
            let bytes = shape.num_blocks * shape.codes(side).block;
            let scales = shape.num_blocks * shape.scales(side).block;
            let scales = if scales == 0 { None } else { Some(self.driver.alloc(scales)?) };
            let memory = self.driver.alloc(bytes)?;
            Ok(CudaBuffer { memory, bytes, scales, given: Kept::default(), q: Kept::default() })
        };
        let (k, v) = (buffer(Side::K)?, buffer(Side::V)?);
        Ok(KvCache { shape, k, v })
    }

    fn plan(
        &self,
        cache: &CacheShape,
        attention: &AttentionShape,
        batch: &Batch,
    ) -> Result<Plan, Error> {
        let mut plan = Plan::new(cache, attention, batch)?;
        if attention.math == AttnMath::Int8 {
            return Err(unsupported("int8 arithmetic"));
        }
        plan.cuda = Some(Arc::new(self.place(&plan)?));
        Ok(plan)
    }

    fn append(
        &self,
        cache: &mut KvCache<Self::Buffer>,
        scales: &LayerScales,
        k: &CudaTensor<D::Memory>,
        v: &CudaTensor<D::Memory>,
        slots: &[i64],
    ) -> Result<(), Error> {
        self.store(cache, scales, [k, v], slots, None)
    }

    /// Waits for the device: the magnitudes come back with the call. Where a slot is given twice, only
    /// the token that keeps it counts.
    fn append_observed(
        &self,
        cache: &mut KvCache<Self::Buffer>,
        scales: &LayerScales,
        k: &CudaTensor<D::Memory>,
        v: &CudaTensor<D::Memory>,
        slots: &[i64],
        seen: &mut HeadAbsmax,
    ) -> Result<(), Error> {
        self.store_observed(cache, scales, [k, v], slots, seen)
    }

    fn attention(
        &self,
        plan: &Plan,
        cache: &KvCache<Self::Buffer>,
        scales: &LayerScales,
        q: &CudaTensor<D::Memory>,
        out: &mut CudaTensor<D::Memory>,
        lse: Option<&mut CudaTensor<D::Memory>>,
    ) -> Result<(), Error> {
        self.attend(plan, cache, scales, q, out, lse.as_deref())
    }

    fn copy_blocks(
        &self,
        cache: &mut KvCache<Self::Buffer>,
        copies: &[(u32, u32)],
    ) -> Result<(), Error> {
        self.copy_within(cache, copies)
    }

    fn copy_blocks_from(
        &self,
        cache: &mut KvCache<Self::Buffer>,
        source: &KvCache<Self::Buffer>,
        copies: &[(u32, u32)],
    ) -> Result<(), Error> {
        self.copy_from(cache, source, copies)
    }

    fn gather(
        &self,
        cache: &KvCache<Self::Buffer>,
        scales: &LayerScales,
        block_table: &[u32],
        tokens: Range<usize>,
        k: &mut CudaTensor<D::Memory>,
        v: &mut CudaTensor<D::Memory>,
    ) -> Result<(), Error> {
        self.read_back(cache, scales, block_table, tokens, [k, v])
    }

    /// Through page-locked memory of the host; the bytes are there when it returns.
    fn swap_out(
        &self,
        cache: &KvCache<Self::Buffer>,
        blocks: &[u32],
        host: &mut [u8],
    ) -> Result<(), Error> {
        self.swap_blocks_out(cache, blocks, host)
    }

    /// Through page-locked memory of the host; `host` was read when it returns.
    fn swap_in(
        &self,
        cache: &mut KvCache<Self::Buffer>,
        blocks: &[u32],
        host: &[u8],
    ) -> Result<(), Error> {
        self.swap_blocks_in(cache, blocks, host)
    }
}

/// A grid dimension.
fn grid_of(ctas: usize) -> Result<u32, Error> {
    let fits = u32::try_from(ctas).ok().filter(|&n| n <= i32::MAX as u32);
    fits.ok_or_else(|| unsupported(format!("a launch of {ctas} CTAs")))
}

/// A lock whose holder never panics half way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
