//! What observing costs beside the forward passes, in processor time on one thread, and how memory
//! grows with the samples.

use crate::{Context, Failure, Report, WINDOW};
use attn_kernels::{Batch, CpuBackend};
use engine::cache::CacheLayout;
use engine::calibrate::{Calibrator, Target};
use engine::config::ModelConfig;
use engine::model::{Decoder, Executor, Step};
use engine::weights::Weights;
use fp8_format::ElementType;
use kv_scales::KvDtype;
use kv_scales::scheme::Strategy;
use std::sync::Arc;

/// Windows that are run both ways, in turns.
const WINDOWS: usize = 12;
/// What the time is stated for.
const SAMPLES: f64 = 128.0;
/// Short, so that many fit into the time there is.
const SHORT: usize = 64;

pub(crate) fn check(context: &Context, report: &mut Report) -> Result<(), Failure> {
    memory(context, report)?;
    // On this thread alone, whose time is what is counted.
    let threads = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build()?;
    Ok(threads.install(|| time(context, report).map_err(|e| e.to_string()))?)
}

fn time(context: &Context, report: &mut Report) -> Result<(), Failure> {
    let weights = context.model.weights()?;
    let mut calibrator = Calibrator::new(&weights, WINDOW, true, None)?;
    let mut plain = Plain::new(context)?;
    let (mut with, mut without) = (0.0, 0.0);
    // The first run touches memory for the first time.
    plain.run(&context.rows[0])?;
    for row in context.rows.iter().take(WINDOWS) {
        let start = processor_seconds()?;
        calibrator.sample(row)?;
        let middle = processor_seconds()?;
        plain.run(row)?;
        with += middle - start;
        without += processor_seconds()? - middle;
    }
    let forward = without / WINDOWS as f64 * SAMPLES;
    let observing = (with / without - 1.0) * forward;
    println!(
        "{SAMPLES} samples of {WINDOW} tokens: {forward:.1} s of forward passes, {observing:.1} s of observing"
    );
    for (methods, strategy) in
        [("mse", Strategy::Tensor), ("mse", Strategy::AttnHead), ("attention", Strategy::AttnHead)]
    {
        let dtypes = KvDtype::Fp8E4M3.into();
        let target = Target { dtypes, strategy, methods: methods.parse()?, q: true };
        let start = processor_seconds()?;
        calibrator.finish(&target, &mut |_| true)?;
        let search = processor_seconds()? - start;
        let what =
            format!("{methods}, {strategy:?}: {search:.1} s of search; all beside the passes");
        report.at_most(&what, (observing + search) / forward, 0.15);
    }
    Ok(())
}

/// The same passes with nobody watching.
struct Plain {
    decoder: Decoder<CpuBackend>,
}

impl Plain {
    fn new(context: &Context) -> Result<Self, Failure> {
        let checkpoint = context.model.weights()?;
        let config = checkpoint.config().ok_or("no config.json")?;
        let config = ModelConfig::from_json(config, None)?;
        let weights = Arc::new(Weights::load(&checkpoint, &config)?);
        let f32 = ElementType::F32;
        let layout = CacheLayout::uniform(&config, 16, f32, f32);
        let caches = layout.into_layers(WINDOW / 16);
        Ok(Self { decoder: Decoder::new(config, weights, CpuBackend::new(), caches)? })
    }

    fn run(&mut self, ids: &[u32]) -> Result<(), Failure> {
        let mut batch = Batch::new();
        batch.push(ids.len(), ids.len(), 0..(WINDOW / 16) as u32);
        let step = Step {
            batch: &batch,
            tokens: ids,
            positions: &(0..ids.len() as u32).collect::<Vec<_>>(),
            slots: &(0..ids.len() as i64).collect::<Vec<_>>(),
            logits_rows: &[],
        };
        Ok(self.decoder.step(&step, &mut (), &mut Vec::new())?)
    }
}

/// The peaks after 16 samples and after 512: of the whole process, and of what is allocated. The
/// former counts pages of the mapped weights too, so all of them are read first: else those of the
/// embedding would come in as tokens first occur, and look like growth.
fn memory(context: &Context, report: &mut Report) -> Result<(), Failure> {
    // A peak of what ran before would hide any growth: it starts anew.
    std::fs::write("/proc/self/clear_refs", "5")?;
    let weights = context.model.weights()?;
    let mut sum = 0u64;
    for tensor in weights.tensors() {
        let bytes = weights.read(tensor)?;
        sum += bytes.iter().step_by(1024).map(|byte| u64::from(*byte)).sum::<u64>();
    }
    std::hint::black_box(sum);
    let mut calibrator = Calibrator::new(&weights, SHORT, true, None)?;
    let mut samples = context.rows.iter().flat_map(|row| row.chunks_exact(SHORT));
    let (mut peaks, mut allocated) = (Vec::new(), 0.0f64);
    for count in [16, 512 - 16] {
        for sample in samples.by_ref().take(count) {
            calibrator.sample(sample)?;
            allocated = allocated.max(mib("RssAnon:")?);
        }
        peaks.push((mib("VmHWM:")?, allocated));
    }
    let (seen, _) = calibrator.seen();
    let [few, many] = peaks[..] else { return Err("two peaks".into()) };
    println!("after 16 samples: {:.1} MiB at the peak, {:.1} allocated", few.0, few.1);
    println!("after {seen}: {:.1} MiB at the peak, {:.1} allocated", many.0, many.1);
    report.holds("all 512 samples were run", seen == 512);
    report.at_most("peak of the process, 512 samples / 16", many.0 / few.0, 1.02);
    report.at_most("peak of what was allocated, 512 samples / 16", many.1 / few.1, 1.02);
    Ok(())
}

fn field(file: &str, find: impl Fn(&str) -> Option<f64>) -> Result<f64, Failure> {
    let text = std::fs::read_to_string(file)?;
    find(&text).ok_or_else(|| format!("{file} is not as on Linux").into())
}

/// The time this thread has run, in nanoseconds by the scheduler's count.
fn processor_seconds() -> Result<f64, Failure> {
    field("/proc/thread-self/schedstat", |text| {
        Some(text.split(' ').next()?.parse::<f64>().ok()? / 1e9)
    })
}

/// A line of this process's status, which is in KiB.
fn mib(name: &str) -> Result<f64, Failure> {
    field("/proc/self/status", |text| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
    })
}
