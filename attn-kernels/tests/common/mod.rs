//! Small worlds to test in: random sequences in shuffled blocks, with poison where nothing is.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use attn_kernels::{
    AttentionShape, Backend, Batch, CacheShape, CpuBackend, KvCache, KvLayout, KvScale,
    LayerScales, ReferenceBackend,
};
use fp8_format::ElementType;

/// xorshift64*: the same numbers everywhere.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n
    }

    /// Roughly normal, standard deviation 1.
    pub fn normal(&mut self) -> f32 {
        let sum: f64 = (0..4).map(|_| (self.next() >> 11) as f64 / (1u64 << 53) as f64).sum();
        ((sum - 2.0) * 1.732) as f32
    }

    pub fn normals(&mut self, n: usize, sigma: f32) -> Vec<f32> {
        (0..n).map(|_| self.normal() * sigma).collect()
    }
}

/// Sequences with all their K, V and Q, independent of how they are stored or computed.
#[derive(Clone)]
pub struct World {
    pub heads: usize,
    pub kv_heads: usize,
    pub d: usize,
    /// Per sequence `[tokens][kv_heads][d]` and `[tokens][heads][d]`.
    pub k: Vec<Vec<f32>>,
    pub v: Vec<Vec<f32>>,
    pub q: Vec<Vec<f32>>,
    pub scales: LayerScales,
}

impl World {
    pub fn new(seed: u64, heads: usize, kv_heads: usize, d: usize, lens: &[usize]) -> Self {
        let mut rng = Rng::new(seed);
        let mut kv = |n: usize| rng.normals(n * kv_heads * d, 1.0);
        let k = lens.iter().map(|&n| kv(n)).collect();
        let v = lens.iter().map(|&n| kv(n)).collect();
        let q = lens.iter().map(|&n| rng.normals(n * heads * d, 1.5)).collect();
        Self { heads, kv_heads, d, k, v, q, scales: LayerScales::default() }
    }

    pub fn kv_len(&self, sequence: usize) -> usize {
        self.k[sequence].len() / (self.kv_heads * self.d)
    }

    /// Scales that differ between K and V and from 1, where the type takes any.
    pub fn with_scales(mut self, shape: &CacheShape, per_head: bool) -> Self {
        let scale = |stored: ElementType, dynamic: bool, base: f32| match (
            dynamic || !stored.is_quantized(),
            per_head,
        ) {
            (true, _) => KvScale::ONE,
            (false, false) => KvScale::PerTensor(base),
            (false, true) => KvScale::PerHead(
                (0..self.kv_heads).map(|h| base * (1.0 + 0.3 * h as f32)).collect(),
            ),
        };
        // About absmax / max; INT8 needs it, FP8 keeps its subnormals in use with it.
        let fit = |stored: ElementType| if stored == ElementType::Int8 { 0.04 } else { 0.013 };
        self.scales.k = scale(shape.k_type, shape.k_per_token_head, fit(shape.k_type));
        self.scales.v = scale(shape.v_type, shape.v_per_token_head, fit(shape.v_type) * 1.7);
        self
    }

    /// Q scales as a calibration gives them (absmax of 1.5 σ noise over 448), a little off per head.
    pub fn with_q_scales(mut self, per_head: bool) -> Self {
        self.scales.q = match per_head {
            false => KvScale::PerTensor(0.0117),
            true => {
                KvScale::PerHead((0..self.heads).map(|h| 0.01 * (1.0 + 0.07 * h as f32)).collect())
            }
        };
        self
    }

    pub fn shape(&self, bs: usize, layout: KvLayout, k: ElementType, v: ElementType) -> CacheShape {
        let blocks = (0..self.k.len()).map(|s| self.kv_len(s).div_ceil(bs)).sum::<usize>() + 3;
        CacheShape::new(blocks, bs, self.kv_heads, self.d, k, v).with_layout(layout)
    }

    /// Shuffled block tables; block 0 is nobody's.
    pub fn tables(&self, shape: &CacheShape, seed: u64) -> Vec<Vec<u32>> {
        let mut rng = Rng::new(seed);
        let mut ids: Vec<u32> = (1..shape.num_blocks as u32).collect();
        for i in (1..ids.len()).rev() {
            ids.swap(i, rng.below(i + 1));
        }
        let mut ids = ids.into_iter();
        let blocks = |s| self.kv_len(s).div_ceil(shape.block_size);
        (0..self.k.len()).map(|s| ids.by_ref().take(blocks(s)).collect()).collect()
    }

    pub fn slots(table: &[u32], bs: usize, tokens: std::ops::Range<usize>) -> Vec<i64> {
        tokens.map(|t| i64::from(table[t / bs]) * bs as i64 + (t % bs) as i64).collect()
    }

    /// Everything stored, NaN in every other slot.
    pub fn fill<B>(
        &self,
        backend: &B,
        shape: &CacheShape,
        tables: &[Vec<u32>],
    ) -> KvCache<B::Buffer>
    where
        B: for<'a> Backend<Input<'a> = &'a [f32]>,
    {
        let mut cache = backend.new_cache(shape.clone()).unwrap();
        let n = shape.num_slots();
        let nan = vec![f32::NAN; n * self.kv_heads * self.d];
        let all: Vec<i64> = (0..n as i64).collect();
        backend.append(&mut cache, &self.scales, &nan, &nan, &all).unwrap();
        for (s, table) in tables.iter().enumerate() {
            let slots = Self::slots(table, shape.block_size, 0..self.kv_len(s));
            backend.append(&mut cache, &self.scales, &self.k[s], &self.v[s], &slots).unwrap();
        }
        cache
    }

    /// Attention of queries `(sequence, from, to)`: the tokens `from..to` with KV up to `to`.
    pub fn attend<B>(
        &self,
        backend: &B,
        cache: &KvCache<B::Buffer>,
        attention: &AttentionShape,
        tables: &[Vec<u32>],
        queries: &[(usize, usize, usize)],
    ) -> (Vec<f32>, Vec<f32>)
    where
        B: for<'a> Backend<Input<'a> = &'a [f32], Output<'a> = &'a mut [f32]>,
    {
        let mut batch = Batch::new();
        let mut q = Vec::new();
        let row = self.heads * self.d;
        for &(s, from, to) in queries {
            batch.push(to - from, to, tables[s].iter().copied());
            q.extend_from_slice(&self.q[s][from * row..to * row]);
        }
        let plan = backend.plan(cache.shape(), attention, &batch).unwrap();
        let mut out = vec![f32::NAN; q.len()];
        let mut lse = vec![f32::NAN; q.len() / self.d];
        backend.attention(&plan, cache, &self.scales, &q, &mut out, Some(&mut lse)).unwrap();
        (out, lse)
    }

    pub fn attention(&self) -> AttentionShape {
        AttentionShape::new(self.heads, 1.0 / (self.d as f32).sqrt())
    }
}

/// Asserts that `out` and `lse` are the reference's within the bound of default arithmetic:
/// 2e-6 × (1 + max|s| / 8) of max|out|, s the logits. `logits` bounds max|s|.
pub fn assert_close(
    name: &str,
    got: &(Vec<f32>, Vec<f32>),
    want: &(Vec<f32>, Vec<f32>),
    logits: f32,
) {
    let absmax = want.0.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    let bound = 2e-6 * (1.0 + logits / 8.0);
    for (i, (g, w)) in got.0.iter().zip(&want.0).enumerate() {
        assert!((g - w).abs() <= bound * absmax, "{name}: out[{i}] {g}, reference {w}");
    }
    for (i, (g, w)) in got.1.iter().zip(&want.1).enumerate() {
        let near = (g - w).abs() <= bound * (1.0 + logits) || g == w;
        assert!(near, "{name}: lse[{i}] {g}, reference {w}");
    }
}

/// What the CPU computes, and what the reference does.
pub fn both(
    cpu: &CpuBackend,
    world: &World,
    shape: &CacheShape,
    attention: &AttentionShape,
    queries: &[(usize, usize, usize)],
) -> [(Vec<f32>, Vec<f32>); 2] {
    let tables = world.tables(shape, 7);
    let fast = world.fill(cpu, shape, &tables);
    let slow = world.fill(&ReferenceBackend, shape, &tables);
    let got = world.attend(cpu, &fast, attention, &tables, queries);
    let want = world.attend(&ReferenceBackend, &slow, attention, &tables, queries);
    [got, want]
}

/// The largest and the root mean square error of the output, both relative to the largest value.
pub fn errors(got: &[f32], want: &[f32]) -> (f64, f64) {
    let absmax = want.iter().fold(0.0f64, |m, x| m.max(f64::from(x.abs())));
    let (mut worst, mut squares) = (0.0f64, 0.0);
    for (g, w) in got.iter().zip(want) {
        let e = (f64::from(*g) - f64::from(*w)).abs() / absmax;
        // A NaN is no small error, and stays.
        worst = if e <= worst || worst.is_nan() { worst } else { e };
        squares += e * e;
    }
    (worst, (squares / want.len() as f64).sqrt())
}

/// Runs a world on the CPU and on the reference, and compares.
pub fn check(
    name: &str,
    cpu: &CpuBackend,
    world: &World,
    shape: &CacheShape,
    attention: &AttentionShape,
    queries: &[(usize, usize, usize)],
) {
    let [got, want] = both(cpu, world, shape, attention, queries);
    // The largest lse bounds the largest logit closely enough, and from above.
    let logits = want.1.iter().filter(|x| x.is_finite()).fold(1.0f32, |m, x| m.max(x.abs()));
    assert_close(name, &got, &want, logits);
}

/// Bits, so that comparisons see NaN and the sign of 0.
pub fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}
