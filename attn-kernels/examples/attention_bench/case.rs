//! One measured case: a shape, its data, the time of a call, the limit of the machine.

use std::time::Instant;

use attn_kernels::{
    AttentionShape, AttnMath, Backend, Batch, CacheShape, CpuBackend, CpuBuffer, Error, KvCache,
    KvScale, LayerScales, Plan, ReferenceBackend,
};
use fp8_format::ElementType;
use rayon::ThreadPool;
use rayon::prelude::*;

use crate::simd;

const BLOCK_SIZE: usize = 16;
/// Copies of the sequences are read in turn until this much has gone by, so that no cache helps.
const ROTATE: usize = 320 << 20;

/// What is measured.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) stored: ElementType,
    /// Scales of 1, not fitted to the data: many small values become subnormal codes then.
    pub(crate) unscaled: bool,
    pub(crate) math: AttnMath,
    pub(crate) num_heads: usize,
    pub(crate) num_kv_heads: usize,
    pub(crate) head_dim: usize,
    /// New tokens per sequence: 1 is decoding.
    pub(crate) q_len: usize,
    /// Tokens per sequence, the new ones included.
    pub(crate) kv_len: usize,
    pub(crate) batch: usize,
}

impl Case {
    /// The storage type as labels have it: `@1` with scales of 1, `+` with integer arithmetic.
    pub(crate) fn kind(&self) -> String {
        let scale = if self.unscaled { "@1" } else { "" };
        let math = if self.math == AttnMath::Int8 { "+" } else { "" };
        format!("{}{scale}{math}", self.stored)
    }

    /// Bytes of K and V that one call reads.
    pub(crate) fn kv_bytes(&self) -> usize {
        2 * self.batch * self.kv_len * self.num_kv_heads * self.head_dim * self.stored.size()
    }

    /// Operations of Q·Kᵀ and P·V, causal.
    fn flops(&self) -> f64 {
        let keys: usize = (0..self.q_len).map(|i| self.kv_len - self.q_len + i + 1).sum();
        (4 * self.batch * self.num_heads * self.head_dim * keys) as f64
    }
}

/// What came out.
#[derive(Clone, Debug)]
pub(crate) struct Timing {
    pub(crate) case: Case,
    pub(crate) threads: usize,
    pub(crate) seconds: f64,
    /// The time of reading the same bytes in a line, and of the multiply-adds alone.
    pub(crate) read_seconds: f64,
    pub(crate) fma_seconds: f64,
    pub(crate) kv_bytes: usize,
    pub(crate) flops: f64,
    /// The largest difference from the reference, relative to its largest element.
    pub(crate) error: f64,
}

impl Timing {
    /// The fraction of the roof: the slower of the two limits over the time taken.
    pub(crate) fn of_roof(&self) -> f64 {
        self.read_seconds.max(self.fma_seconds) / self.seconds
    }
}

/// A case with its data in place.
pub(crate) struct World {
    case: Case,
    cpu: CpuBackend,
    cache: KvCache<CpuBuffer>,
    scales: LayerScales,
    copies: Vec<Batch>,
    q: Vec<f32>,
    out: Vec<f32>,
    error: f64,
}

impl World {
    /// Fills the cache, computes once and compares with the reference.
    pub(crate) fn new(case: &Case) -> Result<Self, Error> {
        let case = case.clone();
        let cpu = CpuBackend::new();
        let stored = case.stored;
        let blocks_each = case.kv_len.div_ceil(BLOCK_SIZE);
        let blocks = blocks_each * case.batch;
        let shape = |blocks: usize| {
            let (heads, d) = (case.num_kv_heads, case.head_dim);
            CacheShape::new(blocks, BLOCK_SIZE, heads, d, stored, stored)
        };
        let copies = match case.q_len {
            1 => ROTATE.div_ceil(blocks * shape(1).block_bytes()).min(64),
            _ => 1,
        };
        let mut cache = cpu.new_cache(shape(blocks * copies + 1))?;
        let mut rng = Rng(1);
        let one_to_one = matches!(stored, ElementType::F32 | ElementType::F16 | ElementType::Bf16);
        let ones = one_to_one || case.unscaled;
        let scale = |s: f32| if ones { KvScale::ONE } else { KvScale::PerTensor(s) };
        // Normal values, absmax at the largest code: what calibration gives.
        let fit = 5.0 / stored.max();
        let scales = LayerScales { k: scale(fit), v: scale(fit * 1.1), ..LayerScales::default() };
        // Blocks of the first copy in a random order; others are moved by whole copies.
        let mut ids: Vec<u32> = (1..=blocks as u32).collect();
        for i in (1..ids.len()).rev() {
            ids.swap(i, rng.next() as usize % (i + 1));
        }
        let row = case.num_kv_heads * case.head_dim;
        for &block in &ids {
            let slots: Vec<i64> =
                (0..BLOCK_SIZE).map(|o| i64::from(block) * BLOCK_SIZE as i64 + o as i64).collect();
            let (k, v) = (rng.normals(BLOCK_SIZE * row), rng.normals(BLOCK_SIZE * row));
            cpu.append(&mut cache, &scales, &k, &v, &slots)?;
        }
        let mut batches = Vec::new();
        for copy in 0..copies as u32 {
            let moved = |id: u32| id + copy * blocks as u32;
            if copy > 0 {
                let pairs: Vec<_> = ids.iter().map(|&id| (id, moved(id))).collect();
                cpu.copy_blocks(&mut cache, &pairs)?;
            }
            let mut batch = Batch::new();
            for s in 0..case.batch {
                let table = &ids[s * blocks_each..(s + 1) * blocks_each];
                batch.push(case.q_len, case.kv_len, table.iter().map(|&id| moved(id)));
            }
            batches.push(batch);
        }
        let q = rng.normals(case.batch * case.q_len * case.num_heads * case.head_dim);
        let out = vec![0.0; q.len()];
        let mut world = Self { case, cpu, cache, scales, copies: batches, q, out, error: 0.0 };
        world.error = world.compare()?;
        Ok(world)
    }

    fn attention(&self) -> AttentionShape {
        let softmax_scale = 1.0 / (self.case.head_dim as f32).sqrt();
        AttentionShape::new(self.case.num_heads, softmax_scale).with_math(self.case.math)
    }

    /// The last query token of the first sequence against the reference.
    fn compare(&mut self) -> Result<f64, Error> {
        let plan = self.plan(0)?;
        self.cpu.attention(&plan, &self.cache, &self.scales, &self.q, &mut self.out, None)?;
        let mut reference = ReferenceBackend.new_cache(self.cache.shape().clone())?;
        let (k, v) = reference.buffers_mut();
        k.bytes_mut().copy_from_slice(self.cache.k().bytes());
        v.bytes_mut().copy_from_slice(self.cache.v().bytes());
        let mut batch = Batch::new();
        let blocks = self.case.kv_len.div_ceil(BLOCK_SIZE);
        batch.push(1, self.case.kv_len, self.copies[0].block_table(0).iter().copied().take(blocks));
        let plan = ReferenceBackend.plan(reference.shape(), &self.attention(), &batch)?;
        let row = self.case.num_heads * self.case.head_dim;
        let at = (self.case.q_len - 1) * row..self.case.q_len * row;
        let mut wanted = vec![0.0; row];
        let q = &self.q[at.clone()];
        ReferenceBackend.attention(&plan, &reference, &self.scales, q, &mut wanted, None)?;
        let absmax = wanted.iter().fold(0.0f32, |m, x| m.max(x.abs()));
        let worst = wanted.iter().zip(&self.out[at]).fold(0.0f32, |m, (w, g)| m.max((w - g).abs()));
        let error = f64::from(worst / absmax);
        // What `AttnMath` states.
        let bound = if self.case.math == AttnMath::Int8 { 5e-4 } else { 4e-6 };
        assert!(error < bound, "{:?}: error {error:e} against the reference", self.case);
        Ok(error)
    }

    fn plan(&self, copy: usize) -> Result<Plan, Error> {
        self.cpu.plan(self.cache.shape(), &self.attention(), &self.copies[copy])
    }

    /// Times calls on the pool's threads, and reading the same bytes, in turns; the best of each.
    pub(crate) fn time(
        &mut self,
        pool: &ThreadPool,
        fma_peak: f64,
        budget: f64,
    ) -> Result<Timing, Error> {
        pool.install(|| self.time_here(pool.current_num_threads(), fma_peak, budget))
    }

    fn time_here(&mut self, threads: usize, peak: f64, budget: f64) -> Result<Timing, Error> {
        let plans = (0..self.copies.len()).map(|c| self.plan(c)).collect::<Result<Vec<_>, _>>()?;
        let per_copy = self.case.kv_bytes();
        let (mut seconds, mut read_seconds) = (f64::INFINITY, f64::INFINITY);
        let start = Instant::now();
        let mut round = 0;
        while round < 3 || start.elapsed().as_secs_f64() < budget {
            let now = Instant::now();
            for plan in &plans {
                let (q, out) = (&self.q, &mut self.out);
                self.cpu.attention(plan, &self.cache, &self.scales, q, out, None)?;
            }
            seconds = seconds.min(now.elapsed().as_secs_f64() / plans.len() as f64);
            let now = Instant::now();
            let all = self.read_all(threads);
            read_seconds =
                read_seconds.min(now.elapsed().as_secs_f64() * per_copy as f64 / all as f64);
            round += 1;
        }
        let flops = self.case.flops();
        Ok(Timing {
            case: self.case.clone(),
            threads,
            seconds,
            read_seconds,
            fma_seconds: flops / (peak * 1e9 * threads as f64),
            kv_bytes: per_copy,
            flops,
            error: self.error,
        })
    }

    /// Reads the whole cache in lines, one per thread; its size.
    fn read_all(&self, threads: usize) -> usize {
        let mut size = 0;
        for side in [self.cache.k().bytes(), self.cache.v().bytes()] {
            size += side.len();
            let part = side.len().div_ceil(threads);
            let sum: u64 =
                side.par_chunks(part).map(simd::read).reduce(|| 0, |a: u64, b: u64| a ^ b);
            std::hint::black_box(sum);
        }
        size
    }
}

/// xorshift64*.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn normals(&mut self, n: usize) -> Vec<f32> {
        let mut one = || {
            let x = self.next();
            let sum: u64 = (0..3).map(|i| x >> (16 * i) & 0xffff).sum();
            (sum as f32 / 32768.0 - 3.0) * 1.0
        };
        (0..n).map(|_| one()).collect()
    }
}
