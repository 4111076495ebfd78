//! The backend: arguments are checked, laid out as the kernels want them, and launched.

use std::ops::Range;
use std::sync::Mutex;

use super::argument::Argument;
use super::names::{AttentionKernel, element_number, unsupported};
use super::tensor::{CudaBuffer, CudaTensor};
use super::work::{Task, Work};
use super::{Driver, Launch, waves};
use crate::attention::AttentionShape;
use crate::backend::{Backend, KvCache, check_append, check_copies};
use crate::batch::Batch;
use crate::error::Error;
use crate::math::{AttnMath, default_prob_scale};
use crate::plan::Plan;
use crate::scales::{KvScale, LayerScales};
use crate::shape::{CacheShape, Side};

/// Threads of a CTA, in every kernel.
const THREADS: u32 = 128;
const WARPS: usize = 4;
/// Bytes that one CTA of a copy moves per round, and rounds.
const COPY_PIECE: usize = 128 * 16 * 4;

/// Attention on a CUDA device.
///
/// K and V may be f16, bf16, E4M3, E5M2 or INT8, `head_dim` 64, 96, 128 or 256, with up to 16 query
/// heads per KV head; what else is asked for is [`Error::Unsupported`]. Calls of one backend take
/// effect in order.
#[derive(Debug)]
pub struct CudaBackend<D: Driver> {
    driver: D,
    /// What calls write for kernels to read; kept, and grown as needed.
    scratch: Mutex<Scratch<D::Memory>>,
}

#[derive(Debug)]
struct Scratch<M> {
    /// Block tables, tasks, scales, slots: written before every launch.
    upload: Option<(M, usize)>,
    /// States of chunks.
    states: Option<(M, usize)>,
}

impl<D: Driver> CudaBackend<D> {
    /// A backend on a device.
    pub fn new(driver: D) -> Self {
        Self { driver, scratch: Mutex::new(Scratch { upload: None, states: None }) }
    }

    /// The device.
    pub fn driver(&self) -> &D {
        &self.driver
    }

    /// Copies numbers to the device.
    pub fn upload(&self, values: &[f32]) -> Result<CudaTensor<D::Memory>, Error> {
        let tensor = self.zeros(values.len())?;
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.driver.write(&tensor.memory, 0, &bytes).map_err(device)?;
        Ok(tensor)
    }

    /// A tensor of zeros.
    pub fn zeros(&self, len: usize) -> Result<CudaTensor<D::Memory>, Error> {
        Ok(CudaTensor { memory: self.alloc(len * 4)?, len })
    }

    /// Copies a tensor to the host, once everything before is done.
    pub fn download(&self, tensor: &CudaTensor<D::Memory>) -> Result<Vec<f32>, Error> {
        let mut bytes = vec![0; tensor.len * 4];
        self.driver.read(&tensor.memory, 0, &mut bytes).map_err(device)?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
    }

    /// The stored codes of K or V, block after block.
    pub fn codes(&self, buffer: &CudaBuffer<D::Memory>) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; buffer.bytes];
        self.driver.read(&buffer.memory, 0, &mut bytes).map_err(device)?;
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
        self.driver.read(scales, 0, &mut bytes).map_err(device)?;
        Ok(bytes)
    }

    /// K and V of tokens `range` of a sequence as numbers, `[tokens][num_kv_heads][head_dim]` each:
    /// `code × scale`.
    pub fn gather(
        &self,
        cache: &KvCache<CudaBuffer<D::Memory>>,
        scales: &LayerScales,
        block_table: &[u32],
        range: Range<usize>,
    ) -> Result<[CudaTensor<D::Memory>; 2], Error> {
        let shape = &cache.shape;
        scales.validate(shape, None)?;
        let (heads, d, tokens) = (shape.num_kv_heads, shape.head_dim, range.len());
        let needed = range.end.div_ceil(shape.block_size);
        if needed > block_table.len() {
            let (kv_len, len) = (range.end, block_table.len());
            return Err(Error::BlockTableTooShort { sequence: 0, kv_len, needed, len });
        }
        if let Some(at) = block_table[..needed].iter().position(|&b| b as usize >= shape.num_blocks)
        {
            let (place, block) = (format!("block table entry {at}"), block_table[at]);
            return Err(Error::BlockOutOfRange { place, block, num_blocks: shape.num_blocks });
        }
        let [k, v] = [Side::K, Side::V].map(|side| {
            let out = self.zeros(tokens * heads * d)?;
            if out.is_empty() {
                return Ok(out);
            }
            let (buffer, codes) = (cache.buffer(side), shape.codes(side));
            let mut scratch = self.scratch();
            let mut upload = Upload::default();
            let at_scale = upload.add(&scales_of(scales.of(side), heads));
            let at_table = upload.add(block_table);
            let base = self.send(&mut scratch, &upload)?;
            let argument = Argument::new()
                .u64(self.driver.address(&buffer.memory))
                .u64(base + at_scale)
                .u64(self.scales_address(buffer))
                .u64(base + at_table)
                .u64(self.driver.address(&out.memory))
                .u64(codes.block as u64)
                .count(codes.token)
                .count(codes.head)
                .count(heads * shape.block_size)
                .u32(1)
                .count(shape.block_size)
                .u32(shape.block_size.trailing_zeros())
                .count(range.start)
                .count(tokens)
                .count(heads)
                .count(d)
                .u32(element_number(shape.stored(side))?);
            let ctas = grid_of((tokens * heads).div_ceil(WARPS))?;
            self.launch("gather", "gather_kv", [ctas, 1, 1], 0, &argument.finish())?;
            Ok(out)
        });
        Ok([k?, v?])
    }

    /// Where a buffer's dynamic scales are; 0 without any.
    fn scales_address(&self, buffer: &CudaBuffer<D::Memory>) -> u64 {
        buffer.scales.as_ref().map_or(0, |scales| self.driver.address(scales))
    }

    fn scratch(&self) -> std::sync::MutexGuard<'_, Scratch<D::Memory>> {
        self.scratch.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn alloc(&self, bytes: usize) -> Result<D::Memory, Error> {
        let bytes = bytes.max(1);
        self.driver.alloc(bytes).map_err(|reason| Error::OutOfMemory { bytes, reason })
    }

    /// Memory of at least `bytes` in `place`, kept from call to call.
    fn grown<'a>(
        &self,
        place: &'a mut Option<(D::Memory, usize)>,
        bytes: usize,
    ) -> Result<&'a D::Memory, Error> {
        if place.as_ref().is_none_or(|(_, size)| *size < bytes) {
            let size = bytes.next_power_of_two().max(4096);
            *place = Some((self.alloc(size)?, size));
        }
        let (memory, _) = place.as_ref().expect("just filled");
        Ok(memory)
    }

    /// Copies what a call needs to the device; returns where it begins.
    fn send(&self, scratch: &mut Scratch<D::Memory>, upload: &Upload) -> Result<u64, Error> {
        let memory = self.grown(&mut scratch.upload, upload.0.len())?;
        self.driver.write(memory, 0, &upload.0).map_err(device)?;
        Ok(self.driver.address(memory))
    }

    fn launch(
        &self,
        module: &str,
        kernel: &str,
        grid: [u32; 3],
        shared: u32,
        argument: &[u8],
    ) -> Result<(), Error> {
        let launch = Launch { module, kernel, grid, threads: THREADS, shared, argument };
        self.driver.launch(&launch).map_err(device)
    }

    /// The kernel for `tiles` tiles of rows, if the device has it.
    fn kernel(&self, plan: &Plan, tiles: usize) -> Result<AttentionKernel, Error> {
        let has = |k: &AttentionKernel| Ok(self.driver.has(&k.module, &k.name));
        let kernel = AttentionKernel::of_plan(plan, tiles, has)?;
        if kernel.shared > self.driver.shared_limit() {
            let (need, have) = (kernel.shared, self.driver.shared_limit());
            return Err(unsupported(format!(
                "{}: {need} bytes of shared memory, {have} on this device",
                kernel.name
            )));
        }
        if !has(&kernel)? {
            return Err(unsupported(format!("{}: no such kernel for this device", kernel.name)));
        }
        Ok(kernel)
    }
}

impl<D: Driver> Backend for CudaBackend<D>
where
    D::Memory: 'static,
{
    type Buffer = CudaBuffer<D::Memory>;
    type Input<'a> = &'a CudaTensor<D::Memory>;
    type Output<'a> = &'a mut CudaTensor<D::Memory>;

    fn new_cache(&self, shape: CacheShape) -> Result<KvCache<Self::Buffer>, Error> {
        shape.validate()?;
        element_number(shape.k_type)?;
        element_number(shape.v_type)?;
        let buffer = |side: Side| -> Result<_, Error> {
            let bytes = shape.num_blocks * shape.codes(side).block;
            let scales = shape.num_blocks * shape.scales(side).block;
            let scales = if scales == 0 { None } else { Some(self.alloc(scales)?) };
            Ok(CudaBuffer { memory: self.alloc(bytes)?, bytes, scales })
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
        self.kernel(&plan, 1)?;
        let two_tiles = self.kernel(&plan, 2).is_ok();
        let work = Work::new(&plan, self.driver.wanted_ctas(), two_tiles);
        plan.cuda = Some(work.ok_or_else(|| unsupported("a batch of more than 2^31 states"))?);
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
        let shape = &cache.shape;
        check_append(shape, scales, k.len, v.len, slots)?;
        if slots.is_empty() {
            return Ok(());
        }
        let heads = shape.num_kv_heads;
        let mut scratch = self.scratch();
        let mut upload = Upload::default();
        let at_slots = upload.add_slots(&waves::last_wins(slots));
        let at_k = upload.add(&scales_of(&scales.k, heads));
        let at_v = upload.add(&scales_of(&scales.v, heads));
        let base = self.send(&mut scratch, &upload)?;
        let mut argument = Argument::new();
        for (from, side, scale) in [(k, Side::K, at_k), (v, Side::V, at_v)] {
            let (buffer, codes) = (cache.buffer(side), shape.codes(side));
            argument = argument
                .u64(self.driver.address(&from.memory))
                .u64(self.driver.address(&buffer.memory))
                .u64(base + scale)
                .u64(self.scales_address(buffer))
                .u64(0)
                .u64(codes.block as u64)
                .count(codes.token)
                .count(codes.head)
                .u32(element_number(shape.stored(side))?)
                .u32(0);
        }
        let argument = argument
            .u64(base + at_slots)
            .u64(0)
            .u64(0)
            .count(heads * shape.block_size)
            .u32(1)
            .count(shape.block_size)
            .u32(shape.block_size.trailing_zeros())
            .count(slots.len())
            .count(heads)
            .count(shape.head_dim);
        let ctas = grid_of((slots.len() * heads).div_ceil(WARPS))?;
        self.launch("append", "append_kv", [ctas, 2, 1], 0, &argument.finish())
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
        plan.check_call(&cache.shape, q.len, out.len, lse.as_ref().map(|l| l.len))?;
        scales.validate(&cache.shape, Some(plan.attention().num_heads))?;
        // A plan of another backend has not been cut up.
        let cut;
        let work = match &plan.cuda {
            Some(work) => work,
            None => {
                let two_tiles = self.kernel(plan, 2).is_ok();
                cut = Work::new(plan, self.driver.wanted_ctas(), two_tiles)
                    .ok_or_else(|| unsupported("a batch of more than 2^31 states"))?;
                &cut
            }
        };
        let (shape, attention) = (&cache.shape, plan.attention());
        let (heads, variant) = (shape.num_kv_heads, &attention.variant);
        let mut scratch = self.scratch();
        let mut upload = Upload::default();
        let at_k = upload.add(&scales_of(&scales.k, heads));
        let at_v = upload.add(&scales_of(&scales.v, heads));
        let at_q = (attention.math.uses_q_scale())
            .then(|| upload.add(&scales_of(&scales.q, attention.num_heads)));
        let optional = |upload: &mut Upload, values: &Option<Box<[f32]>>| {
            values.as_ref().map(|values| upload.add(&bits(values)))
        };
        let at_slopes = optional(&mut upload, &variant.alibi_slopes);
        let at_sinks = optional(&mut upload, &variant.sinks);
        let at_tables = upload.add(plan.batch().tables());
        let lists = [&work.tasks[0], &work.tasks[1], &work.joins];
        let at_tasks = lists.map(|tasks| upload.add_tasks(tasks));
        let base = self.send(&mut scratch, &upload)?;
        let unit = shape.head_dim + 2;
        let states = self.grown(&mut scratch.states, work.states * unit * 4)?;
        let states = self.driver.address(states);

        let [k_codes, v_codes] = [Side::K, Side::V].map(|side| shape.codes(side));
        let prob = match attention.math.uses_prob_scale() {
            true => scales.prob.unwrap_or(default_prob_scale(shape.v_type)),
            false => 0.0,
        };
        let argument = |tasks: u64| {
            Argument::new()
                .u64(self.driver.address(&q.memory))
                .u64(self.driver.address(&out.memory))
                .u64(lse.as_ref().map_or(0, |lse| self.driver.address(&lse.memory)))
                .u64(states)
                .u64(states + (work.states * shape.head_dim * 4) as u64)
                .u64(self.driver.address(&cache.k.memory))
                .u64(self.driver.address(&cache.v.memory))
                .u64(self.scales_address(&cache.k))
                .u64(self.scales_address(&cache.v))
                .u64(base + at_k)
                .u64(base + at_v)
                .u64(at_q.map_or(0, |at| base + at))
                .u64(at_slopes.map_or(0, |at| base + at))
                .u64(at_sinks.map_or(0, |at| base + at))
                .u64(base + at_tables)
                .u64(base + tasks)
                .u64(k_codes.block as u64)
                .u64(v_codes.block as u64)
                .count(k_codes.token)
                .count(k_codes.head)
                .count(v_codes.token)
                .count(v_codes.head)
                .count(heads * shape.block_size)
                .u32(1)
                .count(shape.block_size)
                .u32(shape.block_size.trailing_zeros())
                .count(attention.num_heads)
                .count(heads)
                .count(plan.group_size())
                .count(shape.head_dim)
                .f32(attention.softmax_scale)
                .f32(variant.soft_cap.unwrap_or(0.0))
                // A window beyond all positions hides nothing.
                .u32(variant.window.map_or(0, |w| u32::try_from(w).unwrap_or(u32::MAX)))
                .u32(variant.causal.into())
                .f32(prob)
                .finish()
        };
        for (tiles, tasks) in [(1, &work.tasks[0]), (2, &work.tasks[1])] {
            if tasks.is_empty() {
                continue;
            }
            let kernel = self.kernel(plan, tiles)?;
            let grid = [grid_of(tasks.len())?, grid_of(heads)?, 1];
            let argument = argument(at_tasks[tiles - 1]);
            self.launch(&kernel.module, &kernel.name, grid, kernel.shared, &argument)?;
        }
        if !work.joins.is_empty() {
            let grid = [grid_of(work.joins.len())?, grid_of(heads)?, 1];
            self.launch("merge", "merge_chunks", grid, 0, &argument(at_tasks[2]))?;
        }
        Ok(())
    }

    fn copy_blocks(
        &self,
        cache: &mut KvCache<Self::Buffer>,
        copies: &[(u32, u32)],
    ) -> Result<(), Error> {
        let shape = &cache.shape;
        check_copies(shape, shape, copies)?;
        let mut scratch = self.scratch();
        for wave in waves::waves(copies) {
            let mut upload = Upload::default();
            let pairs: Vec<u32> = wave.iter().flat_map(|&(src, dst)| [src, dst]).collect();
            let at = upload.add(&pairs);
            let base = self.send(&mut scratch, &upload)?;
            let sides = [Side::K, Side::V].map(|side| (cache.buffer(side), side));
            let codes = sides.map(|(buffer, side)| {
                (self.driver.address(&buffer.memory), shape.codes(side).block)
            });
            let scales =
                sides.map(|(buffer, side)| (self.scales_address(buffer), shape.scales(side).block));
            for [k, v] in [codes, scales] {
                let most = k.1.max(v.1);
                if most == 0 {
                    continue;
                }
                let argument = Argument::new()
                    .u64(k.0)
                    .u64(v.0)
                    .u64(k.0)
                    .u64(v.0)
                    .u64(k.1 as u64)
                    .u64(v.1 as u64)
                    .u64(base + at);
                let grid = [grid_of(most.div_ceil(COPY_PIECE))?, grid_of(wave.len())?, 2];
                self.launch("copy_blocks", "copy_blocks", grid, 0, &argument.finish())?;
            }
        }
        Ok(())
    }
}

/// The device's own words as an error.
fn device(reason: String) -> Error {
    Error::Device { reason }
}

/// A grid dimension.
fn grid_of(ctas: usize) -> Result<u32, Error> {
    let fits = u32::try_from(ctas).ok().filter(|&n| n <= i32::MAX as u32);
    fits.ok_or_else(|| unsupported(format!("a launch of {ctas} CTAs")))
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

/// One scale per head.
fn scales_of(scale: &KvScale, heads: usize) -> Vec<u32> {
    (0..heads).map(|head| scale.get(head).to_bits()).collect()
}

/// What one call sends to the device: parts that begin at multiples of 16 bytes.
#[derive(Debug, Default)]
struct Upload(Vec<u8>);

impl Upload {
    fn begin(&mut self) -> u64 {
        self.0.resize(self.0.len().next_multiple_of(16), 0);
        self.0.len() as u64
    }

    fn add(&mut self, words: &[u32]) -> u64 {
        let at = self.begin();
        self.0.extend(words.iter().flat_map(|w| w.to_le_bytes()));
        at
    }

    fn add_slots(&mut self, slots: &[i64]) -> u64 {
        let at = self.begin();
        self.0.extend(slots.iter().flat_map(|s| s.to_le_bytes()));
        at
    }

    fn add_tasks(&mut self, tasks: &[Task]) -> u64 {
        let at = self.begin();
        self.0.extend(tasks.iter().flat_map(Task::words).flat_map(u32::to_le_bytes));
        at
    }
}
