//! Greedy continuations over an f32 cache: the stored ids wherever their margin is real.

use crate::reference::{Model, Reference, ids, numbers};
use crate::{Failure, Report};
use engine::llm::Llm;
use engine::sampling::SamplingParams;

/// A smaller difference of the two largest logits may fall either way.
const MARGIN: f64 = 0.05;

pub(crate) fn check(
    model: &Model,
    reference: &Reference,
    report: &mut Report,
) -> Result<(), Failure> {
    let mut llm: Llm = model.load("f32", None)?;
    let stored = reference.tensors("f32")?;
    let mut names = Vec::new();
    let mut prompts = Vec::new();
    let mut wanted = Vec::new();
    for passage in reference.passages()? {
        let name = passage.name;
        let margins = stored.f32(&format!("{name}/greedy_margin"))?;
        let margins = margins.into_iter().map(f64::from).collect::<Vec<_>>();
        wanted.push((stored.ids(&format!("{name}/greedy_ids"))?, margins));
        prompts.push(passage.ids);
        names.push(name);
    }
    let json = reference.json("prompts.json")?;
    for prompt in json.as_array().ok_or("prompts.json is no list")? {
        let f32 = &prompt["f32"];
        wanted.push((ids(&f32["ids"])?, numbers(&f32["top2_margin"])?));
        prompts.push(ids(&prompt["ids"])?);
        names.push(prompt["prompt"].as_str().unwrap_or("?").chars().take(30).collect());
    }
    let max_tokens = wanted.iter().map(|(ids, _)| ids.len()).max().unwrap_or(0);
    // End-of-text does not end the stored continuations of the passages.
    let params = SamplingParams { ignore_eos: true, ..SamplingParams::greedy(max_tokens) };
    let outputs = llm.generate(&prompts, &params)?;
    for ((name, (want, margins)), output) in names.iter().zip(&wanted).zip(&outputs) {
        let got = &output.outputs[0].token_ids;
        let differs = want.iter().zip(got).position(|(a, b)| a != b);
        let (same, ok) = match differs {
            None => (want.len(), true),
            // From there on the two texts differ, and nothing can be compared.
            Some(at) => (at, margins[at] <= MARGIN),
        };
        report.holds(&format!("greedy {name:?}: the first {same} of {} ids", want.len()), ok);
    }
    Ok(())
}
