//! Attention while decoding: how fast each KV dtype is read through, beside plain reading.

use std::time::Duration;

use attn_kernels::{
    AttentionShape, Backend, Batch, CacheShape, CpuBackend, KvCache, KvScale, LayerScales,
    ReferenceBackend,
};
use fp8_format::ElementType;
use serde_json::{Value, json};

use crate::Options;
use crate::report::{Failure, Report, Table, bytes, gb, share};
use crate::timing::{Values, median};

/// The shape of a present-day 8-billion-parameter model's layer.
const HEADS: usize = 32;
const KV_HEADS: usize = 8;
const HEAD_DIM: usize = 128;
const BLOCK: usize = 16;
const CONTEXT: usize = 4096;

/// K and V of the whole batch: beyond any cache, so that each step streams from memory.
const POOL_BYTES: usize = 256 << 20;

/// Sequences with data of their own; the others repeat these in other blocks.
const DISTINCT: usize = 2;

/// Largest error against the f64 reference on the same codes, relative to the largest output.
const TOLERANCE: f64 = 1e-5;

const TYPES: [ElementType; 6] = [
    ElementType::F32,
    ElementType::Bf16,
    ElementType::F16,
    ElementType::F8E4M3,
    ElementType::F8E5M2,
    ElementType::Int8,
];

pub(crate) fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let title = format!(
        "Decode attention ({HEADS} heads over {KV_HEADS}, head_dim {HEAD_DIM}, \
         context {CONTEXT}, blocks of {BLOCK}; K and V beyond every cache)"
    );
    report.heading(&title);
    let mut rows = Vec::new();
    for stored in TYPES {
        rows.push(measure(stored, options)?);
    }
    let mut table = Table::new(&[
        "KV dtype",
        "KV bytes",
        "1 thread: ms",
        "GB/s",
        "of read",
        "all: ms",
        "GB/s",
        "of read",
        "× f32",
        "error",
    ]);
    let slowest = rows[0].all;
    for row in &rows {
        let rate = |seconds: f64| row.bytes as f64 / seconds;
        table.row([
            row.stored.name().to_owned(),
            bytes(row.bytes),
            format!("{:.2}", row.one * 1e3),
            gb(rate(row.one)),
            share(rate(row.one), report.read_one),
            format!("{:.2}", row.all * 1e3),
            gb(rate(row.all)),
            share(rate(row.all), report.read_all),
            format!("{:.2}", slowest / row.all),
            format!("{:.1e}", row.error),
        ]);
    }
    report.table(&table);
    report.note(
        "  per sequence of the batch; \"of read\" is the share of the bandwidth measured above,",
    );
    report.note(
        "  \"× f32\" how many times faster than the f32 cache, on all threads; \"error\" is the",
    );
    report.note(
        "  largest against the f64 reference on the same codes, relative to the largest output",
    );
    report.add("attention", Value::Array(rows.iter().map(Row::json).collect()));
    Ok(())
}

/// One dtype. Times are seconds per sequence.
struct Row {
    stored: ElementType,
    bytes: u64,
    one: f64,
    all: f64,
    error: f64,
}

impl Row {
    fn json(&self) -> Value {
        json!({
            "kv_cache_dtype": self.stored.name(), "num_heads": HEADS, "num_kv_heads": KV_HEADS,
            "head_dim": HEAD_DIM, "context": CONTEXT, "block_size": BLOCK,
            "kv_bytes": self.bytes, "max_relative_error": self.error,
            "seconds_per_sequence": { "one_thread": self.one, "all_threads": self.all },
        })
    }
}

fn measure(stored: ElementType, options: &Options) -> Result<Row, Failure> {
    let token_bytes = KV_HEADS * HEAD_DIM * stored.size() * 2;
    let budget = if options.quick { POOL_BYTES / 4 } else { POOL_BYTES };
    let sequences = (budget / (CONTEXT * token_bytes)).max(DISTINCT);
    let step = Step::new(stored, sequences);
    let cpu = CpuBackend::new();
    let cache = step.fill(&cpu)?;
    let plan = cpu.plan(cache.shape(), &shape(), &step.batch)?;
    let mut out = vec![f32::NAN; step.q.len()];
    let budget = Duration::from_millis(if options.quick { 150 } else { 500 });
    let mut failed = None;
    let mut attend = |out: &mut [f32]| {
        if let Err(error) = cpu.attention(&plan, &cache, &step.scales, &step.q, out, None) {
            failed = Some(error);
        }
    };
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let one = one_thread.install(|| median(budget, || attend(&mut out)));
    let error = step.check(&out)?;
    out.fill(f32::NAN);
    let all = median(budget, || attend(&mut out));
    let error = error.max(step.check(&out)?);
    if let Some(error) = failed {
        return Err(error.into());
    }
    let per_sequence = 1.0 / sequences as f64;
    let bytes = (CONTEXT * token_bytes) as u64;
    Ok(Row { stored, bytes, one: one * per_sequence, all: all * per_sequence, error })
}

fn shape() -> AttentionShape {
    AttentionShape::new(HEADS, (HEAD_DIM as f32).sqrt().recip())
}

/// One decoding step of a batch whose sequences repeat [`DISTINCT`] different contexts.
struct Step {
    cache: CacheShape,
    scales: LayerScales,
    batch: Batch,
    sequences: usize,
    /// K and V of each distinct context, and the one query row of each sequence.
    contexts: Vec<(Vec<f32>, Vec<f32>)>,
    q: Vec<f32>,
}

impl Step {
    fn new(stored: ElementType, sequences: usize) -> Self {
        let blocks = CONTEXT / BLOCK;
        let cache =
            CacheShape::new(1 + sequences * blocks, BLOCK, KV_HEADS, HEAD_DIM, stored, stored);
        let mut scales = LayerScales::default();
        if matches!(stored, ElementType::F8E4M3 | ElementType::F8E5M2 | ElementType::Int8) {
            // Large enough for what `Values` yields in INT8, and different for K and V.
            scales.k = KvScale::PerTensor(0.05);
            scales.v = KvScale::PerTensor(0.04);
        }
        let mut batch = Batch::new();
        for sequence in 0..sequences {
            batch.push(1, CONTEXT, table(sequence, sequences));
        }
        let size = CONTEXT * KV_HEADS * HEAD_DIM;
        let context = |seed| (Values::new(seed).take(size), Values::new(seed + 100).take(size));
        let contexts = (0..DISTINCT as u64).map(context).collect();
        let rows: Vec<Vec<f32>> =
            (0..DISTINCT as u64).map(|s| Values::new(s + 200).take(HEADS * HEAD_DIM)).collect();
        let q = (0..sequences).flat_map(|s| rows[s % DISTINCT].clone()).collect();
        Self { cache, scales, batch, sequences, contexts, q }
    }

    fn fill<B>(&self, backend: &B) -> Result<KvCache<B::Buffer>, Failure>
    where
        B: for<'a> Backend<Input<'a> = &'a [f32]>,
    {
        let mut cache = backend.new_cache(self.cache.clone())?;
        for sequence in 0..self.sequences {
            let slots = slots(table(sequence, self.sequences));
            let (k, v) = &self.contexts[sequence % DISTINCT];
            backend.append(&mut cache, &self.scales, k, v, &slots)?;
        }
        Ok(cache)
    }

    /// The largest relative error of `out` against the f64 reference, over all rows; a row that
    /// repeats an earlier one must equal it to the bit.
    fn check(&self, out: &[f32]) -> Result<f64, Failure> {
        let rows: Vec<&[f32]> = out.chunks(HEADS * HEAD_DIM).collect();
        let name = self.cache.k_type.name();
        for (sequence, row) in rows.iter().enumerate() {
            if *row != rows[sequence % DISTINCT] {
                let what = format!("{name}: sequence {sequence} differs from its equal");
                return Err(Failure::new(what));
            }
        }
        let mut worst = 0f64;
        for (sequence, row) in rows.iter().enumerate().take(DISTINCT) {
            let expected = self.reference(sequence)?;
            let largest = expected.iter().fold(0f64, |m, &x| m.max(f64::from(x).abs()));
            for (&x, &y) in row.iter().zip(&expected) {
                // Not `max`, which would pass over a NaN.
                let error = (f64::from(x) - f64::from(y)).abs() / largest;
                if error.is_nan() || error > TOLERANCE {
                    let what = format!("{name}: {x} where the reference says {y}");
                    return Err(Failure::new(what));
                }
                worst = worst.max(error);
            }
        }
        Ok(worst)
    }

    /// One sequence alone through the reference backend.
    fn reference(&self, sequence: usize) -> Result<Vec<f32>, Failure> {
        let backend = ReferenceBackend;
        let mut shape_of_one = self.cache.clone();
        shape_of_one.num_blocks = 1 + CONTEXT / BLOCK;
        let mut cache = backend.new_cache(shape_of_one)?;
        let (k, v) = &self.contexts[sequence];
        backend.append(&mut cache, &self.scales, k, v, &slots(table(0, 1)))?;
        let mut batch = Batch::new();
        batch.push(1, CONTEXT, table(0, 1));
        let plan = backend.plan(cache.shape(), &shape(), &batch)?;
        let mut out = vec![0.0; HEADS * HEAD_DIM];
        let q = &self.q[sequence * out.len()..(sequence + 1) * out.len()];
        backend.attention(&plan, &cache, &self.scales, q, &mut out, None)?;
        Ok(out)
    }
}

/// The blocks of one sequence: spread over the pool, as they are after a while of serving.
fn table(sequence: usize, sequences: usize) -> impl Iterator<Item = u32> {
    (0..CONTEXT / BLOCK).map(move |i| (1 + i * sequences + sequence) as u32)
}

fn slots(table: impl Iterator<Item = u32>) -> Vec<i64> {
    table.flat_map(|b| (0..BLOCK).map(move |o| (b as usize * BLOCK + o) as i64)).collect()
}
