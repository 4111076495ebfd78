//! The whole engine: prompt tokens and generated tokens per second, per KV dtype.

use std::time::Instant;

use engine::llm::{EngineConfig, Event, Llm};
use engine::sampling::SamplingParams;
use serde_json::{Value, json};

use crate::Options;
use crate::model::{DTYPES, load, load_with, windows};
use crate::report::{Failure, Report, Table, count};

/// Sequences that are decoded side by side.
const BATCH: usize = 8;

pub(crate) fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let (prompt, generated) = match (options.quick, options.model.is_some()) {
        (true, _) => (64, 16),
        // Some hundred times the work of the embedded model.
        (false, true) => (128, 32),
        (false, false) => (448, 64),
    };
    let mut rows = Vec::new();
    let mut name = String::new();
    for dtype in DTYPES {
        eprintln!("          {dtype}");
        // All prompts are prefilled in one step, so that the steps after it only decode.
        let settings = EngineConfig { prefill_chunk: BATCH * prompt, ..EngineConfig::default() };
        let mut llm = load_with(options, dtype, &settings)?;
        let mut judge = load(options, dtype)?;
        let windows = windows(&llm)?;
        let prompt_of =
            |i: usize| windows[i % windows.len()][i / windows.len()..][..prompt].to_vec();
        let one = timed(&mut llm, &mut judge, &[prompt_of(0)], generated)?;
        let many: Vec<Vec<u32>> = (0..BATCH).map(prompt_of).collect();
        let batch = timed(&mut llm, &mut judge, &many, generated)?;
        name = llm.name().to_owned();
        rows.push(Row { dtype, one, batch });
    }
    report.heading(&format!(
        "Engine: {name}, prompts of {prompt} tokens, {generated} generated, tokens per second"
    ));
    let batch = format!("decode × {BATCH}");
    let mut table = Table::new(&["KV dtype", "prefill", "decode", &batch]);
    for Row { dtype, one, batch } in &rows {
        let rates = [one.prefill, one.decode, batch.decode].map(|r| count(r.round() as u64));
        table.row(std::iter::once((*dtype).to_owned()).chain(rates));
    }
    report.table(&table);
    report
        .note("  every generated token is the likeliest one when the whole text is scored at once");
    report.add("generation", Value::Array(rows.iter().map(|r| r.json(&name, prompt)).collect()));
    Ok(())
}

struct Row {
    dtype: &'static str,
    one: Rates,
    batch: Rates,
}

/// Tokens per second.
struct Rates {
    prefill: f64,
    decode: f64,
}

impl Row {
    fn json(&self, model: &str, prompt: usize) -> Value {
        json!({
            "model": model, "kv_cache_dtype": self.dtype, "prompt_tokens": prompt,
            "prefill_tokens_per_second": self.one.prefill,
            "decode_tokens_per_second": self.one.decode,
            format!("decode_tokens_per_second_batch_{BATCH}"): self.batch.decode,
        })
    }
}

/// Generates greedily from every prompt, after a short run to warm up.
fn timed(
    llm: &mut Llm,
    judge: &mut Llm,
    prompts: &[Vec<u32>],
    generated: usize,
) -> Result<Rates, Failure> {
    let params = SamplingParams { ignore_eos: true, ..SamplingParams::greedy(generated) };
    llm.generate(&prompts[..1], &SamplingParams::greedy(2))?;

    let begun = Instant::now();
    let (mut prefilled, mut tokens) = (None, 0);
    let outputs = llm.generate_with(prompts, &params, &mut (), &mut |event| {
        if let Event::Token { .. } = event {
            tokens += 1;
            // The one step that prefills yields the first token of each.
            if tokens == prompts.len() {
                prefilled = Some(begun.elapsed());
            }
        }
    })?;
    let all = begun.elapsed();
    let prefill = prefilled.ok_or_else(|| Failure::new(format!("only {tokens} tokens came")))?;
    for (prompt, output) in prompts.iter().zip(&outputs) {
        check(judge, prompt, &output.outputs[0].token_ids, generated)?;
    }
    let prompt_tokens: usize = prompts.iter().map(Vec::len).sum();
    Ok(Rates {
        prefill: prompt_tokens as f64 / prefill.as_secs_f64(),
        decode: (tokens - prompts.len()) as f64 / (all - prefill).as_secs_f64(),
    })
}

/// Generation goes token by token and may share its steps with others; another engine scores prompt
/// and continuation in chunks, alone. They must agree on every token.
fn check(llm: &mut Llm, prompt: &[u32], ids: &[u32], generated: usize) -> Result<(), Failure> {
    if ids.len() != generated {
        let what = format!("{} tokens generated, {generated} asked for", ids.len());
        return Err(Failure::new(what));
    }
    let whole = [prompt, ids].concat();
    let scored = llm.score(&whole[..whole.len() - 1])?;
    let expected = &scored.argmax[prompt.len() - 1..];
    match ids.iter().zip(expected).position(|(a, b)| a != b) {
        None => Ok(()),
        Some(at) => Err(Failure::new(format!(
            "{}: token {at} is {}, scoring the text says {}",
            llm.kv_cache_dtype(),
            ids[at],
            expected[at]
        ))),
    }
}
