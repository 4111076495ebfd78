//! GB/s of decode attention on a CUDA device, per storage type, against a copy within the device's
//! memory in the same run. Every case is compared with the reference first.
//!
//! `cargo run --release -p attn-kernels --features cuda --example cuda_bench -- [--quick] [--device N]`
//!
//! No GPU has run it. On the emulated device it shows that it runs; its times mean nothing there.

use std::time::{Duration, Instant};

use attn_kernels::cuda::{CudaBackend, CudaBuffer, CudaDevice, CudaMemory, CudaTensor, Driver};
use attn_kernels::{
    AttentionShape, Backend, Batch, CacheShape, Error, KvCache, KvLayout, KvScale, LayerScales,
    ReferenceBackend,
};
use fp8_format::ElementType::{self, Bf16, F8E4M3, F8E5M2, F16, Int8};

/// A decode step: one token of each sequence.
struct Case {
    sequences: usize,
    context: usize,
    heads: usize,
    kv_heads: usize,
    d: usize,
    repeats: u32,
    /// Bytes of the copy.
    copy: usize,
}

/// An 8B Llama 3, beyond every cache.
const FULL: Case = Case {
    sequences: 64,
    context: 8192,
    heads: 32,
    kv_heads: 8,
    d: 128,
    repeats: 20,
    copy: 1 << 30,
};
/// Enough to see that it runs.
const QUICK: Case =
    Case { sequences: 2, context: 300, heads: 8, kv_heads: 2, d: 64, repeats: 1, copy: 1 << 20 };

fn main() {
    let (mut case, mut ordinal) = (FULL, 0);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match (arg.as_str(), &mut args) {
            ("--quick", _) => case = QUICK,
            ("--device", args) => match args.next().and_then(|n| n.parse().ok()) {
                Some(number) => ordinal = number,
                None => usage("--device needs a number"),
            },
            (other, _) => usage(&format!("unknown option {other}")),
        }
    }
    match run(&case, ordinal) {
        Ok(()) => {}
        Err(Error::NoDriver) => println!("skipped: no libcuda"),
        Err(error) => {
            eprintln!("error: {error}");
            std::process::exit(1);
        }
    }
}

fn usage(what: &str) -> ! {
    eprintln!("error: {what}; known: --quick, --device N");
    std::process::exit(2);
}

fn run(case: &Case, ordinal: usize) -> Result<(), Error> {
    let backend = CudaBackend::open(ordinal)?;
    let device = backend.driver();
    let (major, minor) = device.compute_capability();
    println!("{}, compute capability {major}.{minor}", device.name());
    if device.name().ends_with("(emulated)") {
        println!("the times below are those of an emulator: they mean nothing");
    }
    let copy = copy_rate(&backend, case)?;
    println!("copy within the device, read and written: {:.1} GB/s", copy / 1e9);
    println!(
        "decode: {} sequences of {} tokens, {} heads over {}, head_dim {}, blocks of 16",
        case.sequences, case.context, case.heads, case.kv_heads, case.d
    );
    println!("  KV dtype   KV bytes        ms      GB/s  of copy     error");
    for stored in [F16, Bf16, F8E4M3, F8E5M2, Int8] {
        let world = World::new(&backend, case, stored)?;
        let error = world.check(&backend, case)?;
        let bytes = world.kv_bytes(case) as f64;
        let time = world.time(&backend, case)?.as_secs_f64();
        let rate = bytes / time;
        println!(
            "  {:<8}  {:>6.1} MB  {:>8.3}  {:>8.1}  {:>6.1}%  {error:.1e}",
            stored.name(),
            bytes / 1e6,
            time * 1e3,
            rate / 1e9,
            100.0 * rate / copy
        );
    }
    println!(
        "  \"error\" is the largest against the f64 reference, relative to the largest output"
    );
    Ok(())
}

/// Bytes per second that a copy reads and writes.
fn copy_rate(backend: &CudaBackend, case: &Case) -> Result<f64, Error> {
    let device = backend.driver();
    let (from, to) = (device.alloc(case.copy)?, device.alloc(case.copy)?);
    let time = timed(device, case.repeats, || device.copy((&from, 0), (&to, 0), case.copy))?;
    Ok(2.0 * case.copy as f64 / time.as_secs_f64())
}

/// The mean of `repeats` runs one behind the other, after one that is not counted.
fn timed(
    device: &CudaDevice,
    repeats: u32,
    mut run: impl FnMut() -> Result<(), Error>,
) -> Result<Duration, Error> {
    run()?;
    device.synchronize()?;
    let started = Instant::now();
    for _ in 0..repeats {
        run()?;
    }
    device.synchronize()?;
    Ok(started.elapsed() / repeats)
}

/// One layer's cache with all contexts stored, and a step's queries.
struct World {
    cache: KvCache<CudaBuffer<CudaMemory>>,
    scales: LayerScales,
    attention: AttentionShape,
    batch: Batch,
    q: CudaTensor<CudaMemory>,
    q_values: Vec<f32>,
    /// K and V of every sequence: the same, in blocks of their own.
    k: Vec<f32>,
    v: Vec<f32>,
}

impl World {
    fn new(backend: &CudaBackend, case: &Case, stored: ElementType) -> Result<Self, Error> {
        let blocks = case.context.div_ceil(16);
        let shape =
            CacheShape::new(1 + case.sequences * blocks, 16, case.kv_heads, case.d, stored, stored)
                .with_layout(KvLayout::Hnd);
        let mut cache = backend.new_cache(shape)?;
        let scale = |base: f32| match stored.is_quantized() {
            true => KvScale::PerTensor(base),
            false => KvScale::ONE,
        };
        let scales = LayerScales { k: scale(0.03), v: scale(0.05), ..LayerScales::default() };
        let n = case.context * case.kv_heads * case.d;
        let (k, v) = (numbers(1, n), numbers(2, n));
        let (on_k, on_v) = (backend.upload(&k)?, backend.upload(&v)?);
        let mut batch = Batch::new();
        for sequence in 0..case.sequences {
            // Interleaved, as sequences that grow side by side have their blocks.
            let block = |i: usize| (1 + i * case.sequences + sequence) as u32;
            batch.push(1, case.context, (0..blocks).map(block));
            let slots: Vec<i64> = (0..case.context)
                .map(|t| i64::from(block(t / 16)) * 16 + (t % 16) as i64)
                .collect();
            backend.append(&mut cache, &scales, &on_k, &on_v, &slots)?;
        }
        let q_values = numbers(3, case.sequences * case.heads * case.d);
        let q = backend.upload(&q_values)?;
        let attention = AttentionShape::new(case.heads, 1.0 / (case.d as f32).sqrt());
        Ok(Self { cache, scales, attention, batch, q, q_values, k, v })
    }

    /// Bytes of K and V that a step reads.
    fn kv_bytes(&self, case: &Case) -> usize {
        let element = self.cache.shape().k_type.size() + self.cache.shape().v_type.size();
        case.sequences * case.context * case.kv_heads * case.d * element
    }

    /// Attention of the first and the last sequence against the reference; the largest error.
    fn check(&self, backend: &CudaBackend, case: &Case) -> Result<f64, Error> {
        let plan = backend.plan(self.cache.shape(), &self.attention, &self.batch)?;
        let mut out = backend.zeros(self.q.len())?;
        backend.attention(&plan, &self.cache, &self.scales, &self.q, &mut out, None)?;
        let out = backend.download(&out)?;

        let mut shape = self.cache.shape().clone();
        let blocks = case.context.div_ceil(16);
        shape.num_blocks = blocks;
        let mut cache = ReferenceBackend.new_cache(shape.clone())?;
        let slots: Vec<i64> = (0..case.context as i64).collect();
        ReferenceBackend.append(&mut cache, &self.scales, &self.k, &self.v, &slots)?;
        let row = case.heads * case.d;
        let mut worst = 0.0f64;
        for sequence in [0, case.sequences - 1] {
            let mut batch = Batch::new();
            batch.push(1, case.context, 0..blocks as u32);
            let plan = ReferenceBackend.plan(&shape, &self.attention, &batch)?;
            let at = sequence * row..(sequence + 1) * row;
            let mut want = vec![0.0; row];
            let q = &self.q_values[at.clone()];
            ReferenceBackend.attention(&plan, &cache, &self.scales, q, &mut want, None)?;
            let largest = want.iter().fold(0.0f32, |m, x| m.max(x.abs()));
            for (got, want) in out[at].iter().zip(&want) {
                let error = f64::from((got - want).abs() / largest);
                // A NaN is no small error.
                worst = if error <= worst { worst } else { error };
            }
        }
        // Q and P are rounded to 16 bits for the tensor cores: to 8 of precision in bf16.
        let bound = if self.cache.shape().k_type == Bf16 { 8e-3 } else { 2e-3 };
        assert!(worst <= bound, "{:?}: {worst} from the reference", self.cache.shape().k_type);
        Ok(worst)
    }

    fn time(&self, backend: &CudaBackend, case: &Case) -> Result<Duration, Error> {
        let plan = backend.plan(self.cache.shape(), &self.attention, &self.batch)?;
        let mut out = backend.zeros(self.q.len())?;
        timed(backend.driver(), case.repeats, || {
            backend.attention(&plan, &self.cache, &self.scales, &self.q, &mut out, None)
        })
    }
}

/// Uniform in [−1.7, 1.7], the same everywhere.
fn numbers(seed: u64, n: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 40) as f32 / (1 << 23) as f32 - 1.0) * 1.7
    };
    (0..n).map(next).collect()
}
