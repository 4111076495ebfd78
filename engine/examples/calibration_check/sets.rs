//! Sets of scales as checkpoints, and what they cost on passages.

use crate::reference::Model;
use crate::{Context, Failure};
use engine::calibrate::{Calibrator, Methods, Target};
use engine::eval::{self, Metrics};
use engine::llm::{EngineConfig, Llm, Scored};
use kv_scales::scheme::Strategy;
use kv_scales::writer::write_checkpoint;
use kv_scales::{Checkpoint, KvDtypes};
use std::path::{Path, PathBuf};

/// Held-out text that is compiled into the engine, and a file of this repository.
const BIBLE: &str = include_str!("../../assets/held-out.txt");
const LICENCE: &str = include_str!("../../../LICENSE-APACHE");
const CODE: &str = include_str!("../../../xtask/data/smollm2/passage_code.txt");

impl Model {
    pub(crate) fn weights(&self) -> Result<Checkpoint, Failure> {
        Ok(Checkpoint::open(self.dir())?)
    }
}

/// Passages of 512 tokens that nothing was calibrated on: the two of the reference, and four more.
pub(crate) fn passages(context: &Context) -> Result<Vec<(String, Vec<u32>)>, Failure> {
    let mut all: Vec<_> =
        context.reference.passages()?.into_iter().map(|p| (p.name, p.ids)).collect();
    let llm = context.model.load("f32", None)?;
    let tokenizer = llm.tokenizer().ok_or("the model has no tokenizer")?;
    for (name, text, window) in
        [("bible 1", BIBLE, 0), ("bible 10", BIBLE, 9), ("licence", LICENCE, 1), ("code", CODE, 0)]
    {
        let mut windows = eval::windows(tokenizer, text)?;
        if window >= windows.len() {
            return Err(format!("{name} has {} windows", windows.len()).into());
        }
        all.push((name.to_owned(), windows.swap_remove(window)));
    }
    Ok(all)
}

/// Scores on passages, with the f32 cache's to compare.
pub(crate) struct Bench {
    pub(crate) passages: Vec<(String, Vec<u32>)>,
    exact: Vec<Scored>,
}

impl Bench {
    pub(crate) fn new(
        passages: Vec<(String, Vec<u32>)>,
        weights: &Checkpoint,
    ) -> Result<Self, Failure> {
        let mut bench = Self { passages, exact: Vec::new() };
        let mut llm = load(weights, weights, "f32".parse()?)?;
        bench.exact = bench.score(&mut llm)?;
        Ok(bench)
    }

    fn score(&self, llm: &mut Llm) -> Result<Vec<Scored>, Failure> {
        self.passages.iter().map(|(_, ids)| Ok(llm.score(ids)?)).collect()
    }

    /// The metrics of every passage alone, then of all.
    pub(crate) fn measure(&self, llm: &mut Llm) -> Result<Vec<Metrics>, Failure> {
        let scored = self.score(llm)?;
        let pairs = scored.chunks(1).zip(self.exact.chunks(1));
        let mut metrics: Vec<Metrics> =
            pairs.map(|(a, b)| eval::compare(a, b)).collect::<Result<_, _>>()?;
        metrics.push(eval::compare(&scored, &self.exact)?);
        Ok(metrics)
    }
}

/// The weights with the scales of a checkpoint.
pub(crate) fn load(
    weights: &Checkpoint,
    scales: &Checkpoint,
    dtypes: KvDtypes,
) -> Result<Llm, Failure> {
    let settings = EngineConfig {
        kv_cache_dtype: Some(dtypes),
        kv_cache_memory: Some(96 << 20),
        rescale: true,
        ..EngineConfig::default()
    };
    Ok(Llm::with_scales("with scales".into(), weights, scales, &settings)?)
}

/// Writes the scales of a target as a checkpoint, and loads them from there.
pub(crate) fn calibrated(
    calibrator: &Calibrator,
    weights: &Checkpoint,
    dtype: &str,
    strategy: Strategy,
    methods: &str,
    place: &Path,
) -> Result<Llm, Failure> {
    let methods: Methods = methods.parse()?;
    let target = Target { dtypes: dtype.parse()?, strategy, methods, q: true };
    let calibration = calibrator.finish(&target, &mut |_| true)?;
    let out = place.join("set");
    write_checkpoint(weights, &calibration.scales, &out)?;
    let llm = load(weights, &Checkpoint::open(&out)?, KvDtypes::default())?;
    std::fs::remove_dir_all(&out)?;
    Ok(llm)
}

/// A directory beside the model, so that weights can be shared; gone at the end.
pub(crate) struct Place(pub(crate) PathBuf);

impl Place {
    pub(crate) fn new(model: &Model) -> Result<Self, Failure> {
        let parent = model.dir().parent().ok_or("the model's directory has no parent")?;
        let path = parent.join(format!(".calibration-check-{}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What cannot be removed here is hidden, and says by its name where it is from.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
