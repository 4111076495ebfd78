//! Scoring: the log-probabilities a model gives to a text, through the real paged cache.

use super::Llm;
use crate::Error;
use crate::model::Tap;
use crate::ops::log_sum_exp;
use crate::sampling::argmax;
use paged_cache::SeqId;
use rayon::prelude::*;

/// What the model thinks of a sequence of tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// Log-probability of token `i + 1` given those up to `i`: one fewer than tokens.
    pub logprobs: Vec<f64>,
    /// The likeliest next token at every position, of equal ones the lowest id.
    pub argmax: Vec<u32>,
}

impl Scored {
    /// Mean negative log-likelihood per scored token; its exponential is the perplexity.
    #[must_use]
    pub fn nll(&self) -> f64 {
        -self.logprobs.iter().sum::<f64>() / self.logprobs.len() as f64
    }
}

impl Llm {
    /// Scores one sequence, in chunks of at most `prefill_chunk` rows.
    ///
    /// # Errors
    /// When it is empty, holds unknown tokens, or is too long for the model or the cache.
    pub fn score(&mut self, ids: &[u32]) -> Result<Scored, Error> {
        self.score_with(ids, &mut ())
    }

    /// [`score`](Self::score), with a tap on the model.
    ///
    /// # Errors
    /// As [`score`](Self::score).
    pub fn score_with(&mut self, ids: &[u32], tap: &mut dyn Tap) -> Result<Scored, Error> {
        let (len, limit) = (ids.len(), self.config.max_position_embeddings);
        self.check_tokens(ids)?;
        if len == 0 {
            return Err(Error::EmptyPrompt { prompt: 0 });
        }
        if len > limit {
            return Err(Error::PromptTooLong { prompt: 0, len, limit });
        }
        let block_size = self.cache.config().block_size();
        let (need, have) = (len.div_ceil(block_size), self.cache.config().num_blocks - 1);
        if need > have {
            return Err(Error::CacheTooSmall { prompt: 0, tokens: len, need, have, block_size });
        }
        let seq = SeqId(self.next_seq);
        self.next_seq += 1;
        self.cache.admit(seq, ids)?;
        let scored = self.score_chunks(seq, ids, tap);
        self.cache.free(seq)?;
        scored
    }

    fn score_chunks(
        &mut self,
        seq: SeqId,
        ids: &[u32],
        tap: &mut dyn Tap,
    ) -> Result<Scored, Error> {
        let Self { cache, executor, pool, buffers, prefill_chunk, .. } = self;
        let vocab_size = executor.vocab_size();
        let mut scored = Scored { logprobs: Vec::new(), argmax: Vec::new() };
        for start in (0..ids.len()).step_by(*prefill_chunk) {
            let end = ids.len().min(start + *prefill_chunk);
            buffers.clear();
            buffers.push(cache, seq, ids, start..end)?;
            buffers.want_all();
            buffers.run(executor.as_mut(), pool.as_ref(), tap)?;
            let row = |(i, logits): (usize, &[f32])| {
                let best = argmax(logits)? as u32;
                let next = ids.get(start + i + 1);
                let logprob = next.map(|&id| f64::from(logits[id as usize]) - log_sum_exp(logits));
                Ok((best, logprob))
            };
            let logits = &buffers.logits;
            let score = || logits.par_chunks_exact(vocab_size).enumerate().map(row).collect();
            let rows: Result<Vec<(u32, Option<f64>)>, Error> = match pool {
                Some(pool) => pool.install(score),
                None => score(),
            };
            for (best, logprob) in rows? {
                scored.argmax.push(best);
                scored.logprobs.extend(logprob);
            }
        }
        Ok(scored)
    }
}
