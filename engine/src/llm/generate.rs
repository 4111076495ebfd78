//! Generation: admits what fits, runs prefill chunks and decode rows side by side, frees what ends.
//!
//! A sequence is admitted only when the blocks of its longest possible continuation are free or
//! promised to nobody, so a running sequence never waits and never has to be computed twice.

use super::output::{Event, FinishReason, Prompt, RequestOutput};
use super::sequence::Sequence;
use super::steps::StepBuffers;
use super::{CompletionOutput, Llm};
use crate::Error;
use crate::model::Tap;
use crate::sampling::SamplingParams;
use paged_cache::SeqId;

impl Llm {
    /// Continues every prompt. Outputs are in the order of the prompts, and each is the same as if
    /// it had run alone.
    ///
    /// # Errors
    /// Before any work: for a parameter out of range, a prompt that is empty, too long for the
    /// model or for the cache, or holds unknown tokens.
    pub fn generate<P>(
        &mut self,
        prompts: &[P],
        params: &SamplingParams,
    ) -> Result<Vec<RequestOutput>, Error>
    where
        P: Clone + Into<Prompt>,
    {
        self.generate_with(prompts, params, &mut (), &mut |_| {})
    }

    /// [`generate`](Self::generate), with a tap on the model and events as they happen.
    ///
    /// # Errors
    /// As [`generate`](Self::generate).
    pub fn generate_with<P>(
        &mut self,
        prompts: &[P],
        params: &SamplingParams,
        tap: &mut dyn Tap,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<Vec<RequestOutput>, Error>
    where
        P: Clone + Into<Prompt>,
    {
        params.validate()?;
        let mut texts = Vec::with_capacity(prompts.len());
        let mut waiting = Vec::with_capacity(prompts.len());
        for (index, prompt) in prompts.iter().enumerate() {
            let (text, ids) = match prompt.clone().into() {
                Prompt::Text(text) => {
                    let ids = self.tokenizer().ok_or(Error::NoTokenizer)?.encode(&text)?;
                    (Some(text), ids)
                }
                Prompt::TokenIds(ids) => (None, ids),
            };
            texts.push(text);
            waiting.push(self.sequence(index, ids, params)?);
        }
        let mut run = Run { llm: self, params, tap, on_event, running: Vec::new() };
        let result = run.all(waiting);
        let leftover: Vec<SeqId> = run.running.iter().map(|s| s.id).collect();
        for id in leftover {
            self.cache.free(id)?;
        }
        let outputs = texts.into_iter().zip(result?).map(|(prompt, (ids, output))| RequestOutput {
            prompt,
            prompt_token_ids: ids,
            outputs: vec![output],
        });
        Ok(outputs.collect())
    }

    /// Checks one prompt against the model and the cache.
    fn sequence(
        &mut self,
        prompt: usize,
        tokens: Vec<u32>,
        params: &SamplingParams,
    ) -> Result<Sequence, Error> {
        let (len, limit) = (tokens.len(), self.config.max_position_embeddings);
        self.check_tokens(&tokens)?;
        if len == 0 {
            return Err(Error::EmptyPrompt { prompt });
        }
        if len >= limit {
            return Err(Error::PromptTooLong { prompt, len, limit });
        }
        let max_tokens = params.max_tokens.min(limit - len);
        // The last token chosen is never fed back.
        let total = len + max_tokens - 1;
        let block_size = self.cache.config().block_size();
        let (need, have) = (total.div_ceil(block_size), self.cache.config().num_blocks - 1);
        if need > have {
            return Err(Error::CacheTooSmall { prompt, tokens: total, need, have, block_size });
        }
        let id = SeqId(self.next_seq);
        self.next_seq += 1;
        let tokenizer = self.tokenizer.as_ref();
        let mut sequence = Sequence::new(prompt, id, tokens, max_tokens, params, tokenizer);
        sequence.blocks_needed = need;
        Ok(sequence)
    }

    pub(super) fn check_tokens(&self, tokens: &[u32]) -> Result<(), Error> {
        let vocab_size = self.executor.vocab_size();
        match tokens.iter().find(|token| **token as usize >= vocab_size) {
            Some(&token) => Err(Error::TokenOutOfRange { token, vocab_size }),
            None => Ok(()),
        }
    }
}

type Done = (Vec<u32>, CompletionOutput);

struct Run<'a> {
    llm: &'a mut Llm,
    params: &'a SamplingParams,
    tap: &'a mut dyn Tap,
    on_event: &'a mut dyn FnMut(Event<'_>),
    running: Vec<Sequence>,
}

impl Run<'_> {
    fn all(&mut self, waiting: Vec<Sequence>) -> Result<Vec<Done>, Error> {
        let mut done: Vec<Option<Done>> = waiting.iter().map(|_| None).collect();
        let mut waiting = waiting.into_iter().peekable();
        loop {
            while let Some(next) = waiting.next_if(|next| self.fits(next)) {
                self.llm.cache.admit(next.id, &next.tokens)?;
                self.running.push(next);
            }
            if self.running.is_empty() {
                break;
            }
            self.step(&mut done)?;
        }
        Ok(done.into_iter().flatten().collect())
    }

    /// Whether the longest continuation of `next` fits beside those of the running sequences.
    fn fits(&self, next: &Sequence) -> bool {
        let promised: usize = self.running.iter().map(|s| s.blocks_needed).sum();
        let blocks = self.llm.cache.config().num_blocks - 1;
        self.running.len() < self.llm.max_num_seqs && next.blocks_needed <= blocks - promised
    }

    /// One step: a row for every decoding sequence, then prompt rows until the chunk is full.
    fn step(&mut self, done: &mut [Option<Done>]) -> Result<(), Error> {
        let Llm { cache, executor, pool, buffers, prefill_chunk, .. } = &mut *self.llm;
        buffers.clear();
        // Decoding rows come first: a long prompt never holds them up by more than one chunk.
        let mut left = *prefill_chunk;
        for s in self.running.iter_mut().filter(|s| s.computed >= s.prompt_len) {
            cache.append(s.id, 1)?;
            s.computed += 1;
            buffers.push(cache, s.id, &s.tokens, s.computed - 1..s.computed)?;
            buffers.want_last();
            left = left.saturating_sub(1);
        }
        let decoding = buffers.rows();
        let mut chosen: Vec<usize> = (0..self.running.len())
            .filter(|&i| self.running[i].computed > self.running[i].prompt_len)
            .collect();
        for (index, s) in self.running.iter_mut().enumerate() {
            if s.computed >= s.prompt_len || left == 0 && (decoding > 0 || buffers.rows() > 0) {
                continue;
            }
            let end = s.prompt_len.min(s.computed + left.max(1));
            buffers.push(cache, s.id, &s.tokens, s.computed..end)?;
            left = left.saturating_sub(end - s.computed);
            s.computed = end;
            let (prompt, total) = (s.prompt, s.prompt_len);
            (self.on_event)(Event::Prefill { prompt, done: end, total });
            if end == s.prompt_len {
                buffers.want_last();
                chosen.push(index);
            }
        }
        buffers.run(executor.as_mut(), pool.as_ref(), self.tap)?;
        self.sample(&chosen, done)
    }

    /// Chooses a token for every sequence whose logits were computed.
    fn sample(&mut self, chosen: &[usize], done: &mut [Option<Done>]) -> Result<(), Error> {
        let Llm { cache, executor, buffers: StepBuffers { logits, .. }, config, .. } =
            &mut *self.llm;
        let mut finished: Vec<(usize, FinishReason)> = Vec::new();
        for (&index, logits) in chosen.iter().zip(logits.chunks_exact(executor.vocab_size())) {
            let s = &mut self.running[index];
            let advance = s.advance(logits, self.params, &config.eos_token_ids)?;
            let token = s.tokens[s.tokens.len() - 1];
            let prompt = s.prompt;
            (self.on_event)(Event::Token { prompt, token, text: &advance.text });
            if let Some(reason) = advance.finished {
                finished.push((index, reason));
            }
        }
        finished.sort_unstable_by_key(|(index, _)| std::cmp::Reverse(*index));
        for (index, mut reason) in finished {
            let mut s = self.running.remove(index);
            cache.free(s.id)?;
            let (prompt, text) = (s.prompt, s.flush(&mut reason)?);
            (self.on_event)(Event::Finished { prompt, text: &text, reason });
            done[prompt] = Some(s.into_output(reason));
        }
        Ok(())
    }
}
