//! One running sequence: its tokens so far, its sampler, its text.

use super::output::{CompletionOutput, FinishReason};
use crate::Error;
use crate::sampling::{Sampled, Sampler, SamplingParams, StopStrings};
use crate::tokenizer::{Detokenizer, Tokenizer};
use paged_cache::SeqId;

pub(super) struct Sequence {
    /// Its prompt's number.
    pub(super) prompt: usize,
    pub(super) id: SeqId,
    /// The prompt, then every token chosen.
    pub(super) tokens: Vec<u32>,
    pub(super) prompt_len: usize,
    /// Tokens whose KV is in the cache.
    pub(super) computed: usize,
    /// The continuation ends when it is this long.
    pub(super) max_tokens: usize,
    /// Blocks set aside for it beyond those it holds.
    pub(super) blocks_needed: usize,
    sampler: Sampler,
    detokenizer: Option<Detokenizer>,
    stops: StopStrings,
    text: String,
    logprobs: Option<Vec<Sampled>>,
}

/// What a chosen token did.
pub(super) struct Advance {
    pub(super) text: String,
    pub(super) finished: Option<FinishReason>,
}

impl Sequence {
    pub(super) fn new(
        prompt: usize,
        id: SeqId,
        tokens: Vec<u32>,
        max_tokens: usize,
        params: &SamplingParams,
        tokenizer: Option<&Tokenizer>,
    ) -> Self {
        Self {
            prompt,
            id,
            prompt_len: tokens.len(),
            tokens,
            computed: 0,
            max_tokens,
            blocks_needed: 0,
            sampler: Sampler::new(params, 0),
            detokenizer: tokenizer.map(Tokenizer::detokenizer),
            stops: StopStrings::new(&params.stop),
            text: String::new(),
            logprobs: params.logprobs.map(|_| Vec::new()),
        }
    }

    /// Chooses the next token and takes it in.
    pub(super) fn advance(
        &mut self,
        logits: &[f32],
        params: &SamplingParams,
        eos: &[u32],
    ) -> Result<Advance, Error> {
        let sampled = self.sampler.sample(logits)?;
        let token = sampled.token;
        self.tokens.push(token);
        if let Some(list) = &mut self.logprobs {
            list.push(sampled);
        }
        let ends =
            params.stop_token_ids.contains(&token) || (!params.ignore_eos && eos.contains(&token));
        let mut out = Advance { text: String::new(), finished: None };
        if ends {
            out.finished = Some(FinishReason::Stop);
        } else {
            if let Some(detokenizer) = &mut self.detokenizer {
                let released = self.stops.push(&detokenizer.push(token)?);
                out.text = released.text;
                if released.stopped {
                    out.finished = Some(FinishReason::Stop);
                    self.detokenizer = None;
                }
            }
            if out.finished.is_none() && self.tokens.len() - self.prompt_len >= self.max_tokens {
                out.finished = Some(FinishReason::Length);
            }
        }
        self.text.push_str(&out.text);
        Ok(out)
    }

    /// The text that was held back; it can still complete a stop string.
    pub(super) fn flush(&mut self, reason: &mut FinishReason) -> Result<String, Error> {
        let Some(detokenizer) = &mut self.detokenizer else { return Ok(String::new()) };
        let released = self.stops.push(&detokenizer.finish()?);
        let mut rest = released.text;
        if released.stopped {
            *reason = FinishReason::Stop;
        } else {
            rest.push_str(&self.stops.finish());
        }
        self.text.push_str(&rest);
        Ok(rest)
    }

    pub(super) fn into_output(mut self, reason: FinishReason) -> (Vec<u32>, CompletionOutput) {
        let token_ids = self.tokens.split_off(self.prompt_len);
        let output = CompletionOutput {
            text: self.text,
            token_ids,
            finish_reason: reason,
            logprobs: self.logprobs,
        };
        (self.tokens, output)
    }
}
