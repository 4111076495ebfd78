//! `Llm` as a library: batches, waves, token ids, limits, an executor brought along.

use engine::llm::{Event, Llm};
use engine::model::{Executor, Step, Tap};
use engine::{EngineConfig, Error, FinishReason, Prompt, SamplingParams};
use fp8_format::ElementType;
use kv_scales::KvDtype;

fn settings(dtype: KvDtype) -> EngineConfig {
    EngineConfig { kv_cache_dtype: Some(dtype.into()), ..EngineConfig::default() }
}

/// Prompts and their greedy continuations by transformers: see `tests/data/README.md`.
fn references() -> Vec<(Vec<u32>, Vec<u32>, Vec<f64>)> {
    let json: serde_json::Value =
        serde_json::from_str(include_str!("data/tiny_references.json")).unwrap();
    let list = |v: &serde_json::Value| serde_json::from_value(v.clone()).unwrap();
    let one = |g: &serde_json::Value| {
        let margins = serde_json::from_value(g["margins"].clone()).unwrap();
        (list(&g["prompt_ids"]), list(&g["ids"]), margins)
    };
    json["greedy"].as_array().unwrap().iter().map(one).collect()
}

#[test]
fn a_batch_of_ids_gives_the_reference_continuations() {
    let references = references();
    let mut llm = Llm::embedded(settings(KvDtype::F32)).unwrap();
    let prompts: Vec<Vec<u32>> = references.iter().map(|r| r.0.clone()).collect();
    let params = SamplingParams::greedy(references[0].1.len());
    let outputs = llm.generate(&prompts, &params).unwrap();
    assert!(references.len() >= 2 && outputs.len() == references.len());
    for ((_, want, margins), output) in references.iter().zip(&outputs) {
        let got = &output.outputs[0].token_ids;
        let same = want.iter().zip(got).take_while(|(a, b)| a == b).count();
        assert!(same == want.len() || margins[same] <= 0.05, "{got:?} for {want:?}");
    }
}

#[test]
fn waves_through_a_small_cache_and_any_chunk_change_nothing() {
    let prompts: Vec<Vec<u32>> = (0..9).map(|i| (i..i + 20 + 9 * i).collect()).collect();
    let params = SamplingParams {
        max_tokens: 12,
        seed: Some(5),
        logprobs: Some(2),
        ignore_eos: true,
        ..SamplingParams::default()
    };
    let want = Llm::embedded(EngineConfig::default()).unwrap().generate(&prompts, &params).unwrap();
    // 512 bytes per token: 16 blocks of 16, of which 15 hold tokens; the longest needs 7.
    for (prefill_chunk, max_num_seqs) in [(1, 64), (7, 3), (128, 64)] {
        let small = EngineConfig {
            kv_cache_memory: Some(512 * 16 * 16),
            prefill_chunk,
            max_num_seqs,
            ..EngineConfig::default()
        };
        let mut llm = Llm::embedded(small).unwrap();
        assert_eq!(llm.capacity().config.num_blocks, 16);
        // Twice: everything the first run held was given back.
        for _ in 0..2 {
            let mut most = Vec::new();
            let mut events = |event: Event<'_>| {
                if let Event::Finished { prompt, .. } = event {
                    most.push(prompt);
                }
            };
            let got = llm.generate_with(&prompts, &params, &mut (), &mut events).unwrap();
            assert_eq!(got, want);
            assert_eq!(most.len(), 9);
        }
    }
    for output in &want {
        assert_eq!(output.outputs[0].finish_reason, FinishReason::Length);
        assert_eq!(output.outputs[0].logprobs.as_ref().unwrap().len(), 12);
    }
}

#[test]
fn scores_are_the_log_probabilities_of_generation() {
    let mut llm = Llm::embedded(EngineConfig::default()).unwrap();
    let params =
        SamplingParams { logprobs: Some(1), ignore_eos: true, ..SamplingParams::greedy(150) };
    let prompt: Vec<u32> = vec![990, 260, 1723, 1205];
    let output = &llm.generate(std::slice::from_ref(&prompt), &params).unwrap()[0].outputs[0];
    let whole = [prompt.as_slice(), &output.token_ids].concat();
    let scored = llm.score(&whole).unwrap();
    assert_eq!((scored.logprobs.len(), scored.argmax.len()), (153, 154));
    for (i, sampled) in output.logprobs.as_ref().unwrap().iter().enumerate() {
        assert_eq!(scored.argmax[3 + i], sampled.token);
        assert!((scored.logprobs[3 + i] - f64::from(sampled.logprob)).abs() < 1e-5);
    }
}

#[test]
fn what_cannot_be_served_is_refused_before_any_work() {
    let mut llm = Llm::embedded(EngineConfig::default()).unwrap();
    let params = SamplingParams::greedy(4);
    let ids = |n: usize| Prompt::TokenIds(vec![5; n]);
    let mut refused = |prompt: Prompt| llm.generate(&[ids(3), prompt], &params).unwrap_err();
    assert!(matches!(refused(ids(0)), Error::EmptyPrompt { prompt: 1 }));
    let error = refused(ids(1024));
    assert!(matches!(error, Error::PromptTooLong { prompt: 1, len: 1024, limit: 1024 }));
    let error = refused(Prompt::TokenIds(vec![2048]));
    assert!(matches!(error, Error::TokenOutOfRange { token: 2048, vocab_size: 2048 }));
    // The last position can still be filled.
    let output = llm.generate(&[ids(1023)], &params).unwrap();
    assert_eq!(output[0].outputs[0].token_ids.len(), 1);
    assert!(matches!(llm.score(&[5; 1025]), Err(Error::PromptTooLong { len: 1025, .. })));

    let small = EngineConfig { kv_cache_memory: Some(512 * 16 * 4), ..EngineConfig::default() };
    let mut llm = Llm::embedded(small).unwrap();
    let error = llm.generate(&[ids(50)], &params).unwrap_err();
    assert!(matches!(error, Error::CacheTooSmall { tokens: 53, need: 4, have: 3, .. }), "{error}");
    assert!(matches!(llm.score(&[5; 49]), Err(Error::CacheTooSmall { need: 4, have: 3, .. })));
    assert_eq!(llm.generate(&[ids(45)], &params).unwrap().len(), 1);
    let none = EngineConfig { kv_cache_memory: Some(1000), ..EngineConfig::default() };
    assert!(matches!(Llm::embedded(none), Err(Error::Cache(_))));
    for wrong in [
        EngineConfig { block_size: 12, ..EngineConfig::default() },
        EngineConfig { prefill_chunk: 0, ..EngineConfig::default() },
        EngineConfig { max_num_seqs: 0, ..EngineConfig::default() },
        EngineConfig { num_threads: Some(0), ..EngineConfig::default() },
    ] {
        assert!(matches!(Llm::embedded(wrong), Err(Error::Setting { .. })));
    }
}

#[test]
fn scales_can_be_calculated_from_random_tokens() {
    let calculated = EngineConfig { calculate_kv_scales: true, ..settings(KvDtype::Fp8E4M3) };
    let mut llm = Llm::embedded(calculated.clone()).unwrap();
    let scales = llm.scales().unwrap();
    assert!(!scales.has_pending() && scales.source() == "on_the_fly");
    assert!(scales.layers().iter().all(|l| l.k.value.values()[0] < 1.0 && !l.k.value.is_one()));
    let again = Llm::embedded(calculated).unwrap();
    assert_eq!(again.scales().unwrap().fingerprint(), scales.fingerprint());
    let output = llm.generate(&["And God said"], &SamplingParams::greedy(5)).unwrap();
    assert_eq!(output[0].outputs[0].token_ids.len(), 5);
}

/// Says the next number, and remembers the rows it was given.
struct Counting {
    rows: Vec<usize>,
}

impl Executor for Counting {
    fn vocab_size(&self) -> usize {
        100
    }

    fn step(
        &mut self,
        step: &Step<'_>,
        _tap: &mut dyn Tap,
        logits: &mut Vec<f32>,
    ) -> Result<(), Error> {
        assert_eq!(step.batch.num_rows(), step.tokens.len());
        self.rows.push(step.tokens.len());
        assert!(step.tokens.len() <= 8, "a step of {} rows", step.tokens.len());
        logits.clear();
        for row in step.logits_rows {
            let next = (step.tokens[*row] as usize + 1) % 100;
            logits.extend((0..100).map(|token| if token == next { 1.0 } else { 0.0 }));
        }
        Ok(())
    }

    fn copy_blocks(&mut self, _copies: &[(u32, u32)]) -> Result<(), Error> {
        Ok(())
    }
}

#[test]
fn another_executor_can_be_put_underneath() {
    let embedded = Llm::embedded(EngineConfig::default()).unwrap();
    let config = embedded.config().clone();
    let layout =
        engine::cache::CacheLayout::uniform(&config, 16, ElementType::F32, ElementType::F32);
    let capacity = engine::cache::Capacity::new(&layout, 1 << 20, 1024).unwrap();
    let settings = EngineConfig { prefill_chunk: 8, ..EngineConfig::default() };
    let executor = Box::new(Counting { rows: Vec::new() });
    let mut llm =
        Llm::with_executor("counting", config, None, executor, capacity, &settings).unwrap();
    let prompts: [Vec<u32>; 3] = [vec![40; 21], vec![97], vec![10, 20]];
    let params = SamplingParams { stop_token_ids: vec![44], ..SamplingParams::greedy(5) };
    let outputs = llm.generate(&prompts, &params).unwrap();
    let ids: Vec<&[u32]> = outputs.iter().map(|o| &*o.outputs[0].token_ids).collect();
    // 1 ends the embedded model's texts.
    assert_eq!(ids, [&[41, 42, 43, 44][..], &[98, 99, 0, 1], &[21, 22, 23, 24, 25]]);
    assert_eq!(outputs[0].outputs[0].finish_reason, FinishReason::Stop);
    assert!(matches!(llm.generate(&["text"], &params), Err(Error::NoTokenizer)));
}
