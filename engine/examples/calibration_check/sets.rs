//! Sets of scales as checkpoints, and what they cost on passages.

use crate::reference::Model;
use crate::{Context, Failure};
use engine::calibrate::{Calibrator, Methods, Target};
use engine::eval::{self, Metrics};
use engine::llm::{EngineConfig, Llm, Scored};
use engine::tokenizer::Tokenizer;
use kv_scales::scheme::Strategy;
use kv_scales::writer::write_checkpoint;
use kv_scales::{Checkpoint, KvDtypes};
use std::path::{Path, PathBuf};

/// Text of this repository, and files of it as they once were: windows of them are calibrated on, and
/// others are passages.
const BIBLE: &str = include_str!("../../assets/held-out.txt");
const LICENCE: &str = include_str!("../../../LICENSE-APACHE");
const CODE: &str = include_str!("../../../xtask/data/smollm2/calibration_code.txt");
const OTHER_CODE: &str = include_str!("../../../xtask/data/smollm2/passage_code.txt");
const PROSE: &str = include_str!("../../../xtask/data/smollm2/calibration_prose.txt");
const OTHER_PROSE: &str = include_str!("../../../xtask/data/smollm2/passage_prose.txt");

/// Passages that nothing was calibrated on: name, text, window. Observers were made on others: windows
/// 0, 5 and 9 of the Bible, 1 of the licence, 0 of this code, and files that are in neither.
const PASSAGES: [(&str, &str, usize); 10] = [
    ("bible 3", BIBLE, 3),
    ("bible 6", BIBLE, 6),
    ("bible 12", BIBLE, 12),
    ("licence 0", LICENCE, 0),
    ("licence 2", LICENCE, 2),
    ("code 1", OTHER_CODE, 1),
    ("code 2", OTHER_CODE, 2),
    ("prose 0", OTHER_PROSE, 0),
    ("prose 1", OTHER_PROSE, 1),
    ("prose 3", OTHER_PROSE, 3),
];

impl Model {
    pub(crate) fn weights(&self) -> Result<Checkpoint, Failure> {
        Ok(Checkpoint::open(self.dir())?)
    }
}

/// Samples of a calibration: what llm-compressor's reference used.
const SAMPLES: usize = 64;

/// What is calibrated on.
#[derive(Clone, Copy)]
pub(crate) enum Text {
    /// The first samples of one document.
    OneDocument,
    /// Half of them that document's, the others of the Bible, of code and of prose about it.
    FourKinds,
}

impl Text {
    pub(crate) fn samples(self, context: &Context) -> Result<Vec<Vec<u32>>, Failure> {
        let Self::FourKinds = self else { return Ok(context.rows[..SAMPLES].to_vec()) };
        let mut all = context.rows[..SAMPLES / 2].to_vec();
        let bible = &[1, 2, 4, 7, 8, 10, 11, 13, 14, 16][..];
        let (code, prose): (Vec<_>, Vec<_>) = ((0..17).collect(), (0..5).collect());
        for (text, wanted) in [(BIBLE, bible), (CODE, &code), (PROSE, &prose)] {
            let mut windows = windows(context, text)?;
            for window in wanted {
                all.push(std::mem::take(windows.get_mut(*window).ok_or("a text is too short")?));
            }
        }
        if all.len() == SAMPLES { Ok(all) } else { Err(format!("{} samples", all.len()).into()) }
    }
}

fn windows(context: &Context, text: &str) -> Result<Vec<Vec<u32>>, Failure> {
    let tokenizer = Tokenizer::from_checkpoint(&context.model.weights()?)?;
    Ok(eval::windows(&tokenizer.ok_or("the model has no tokenizer")?, text)?)
}

/// Passages of 512 tokens: the two of the reference, and more.
pub(crate) fn passages(context: &Context) -> Result<Vec<(String, Vec<u32>)>, Failure> {
    let mut all: Vec<_> =
        context.reference.passages()?.into_iter().map(|p| (p.name, p.ids)).collect();
    for (name, text, window) in PASSAGES {
        let mut windows = windows(context, text)?;
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
