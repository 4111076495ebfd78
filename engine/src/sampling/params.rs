//! What a request asks of the sampler, and the limits of each value.

use crate::Error;

/// How to choose the next token, and when to stop.
///
/// The defaults are vLLM's: sample at temperature 1 from the whole vocabulary, at most 16 tokens.
/// (The command line's own default is greedy, so that a first run is reproducible.)
///
/// The filters apply in vLLM's order: temperature, `min_p`, `top_k`, then `top_p` over what is left.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplingParams {
    /// Divides the logits; 0 is greedy: the largest logit, of equal ones the lowest id.
    pub temperature: f32,
    /// Keeps the smallest set of likeliest tokens whose probabilities reach this sum; in (0, 1].
    pub top_p: f32,
    /// Keeps this many of the likeliest tokens; `None` keeps all, as does more than the vocabulary.
    pub top_k: Option<u32>,
    /// Keeps tokens at least this fraction as likely as the likeliest one; in [0, 1], 0 keeps all.
    pub min_p: f32,
    /// At most this many tokens are generated; at least 1.
    pub max_tokens: usize,
    /// Makes a request reproducible: same prompt, same seed, same text, whatever runs beside it.
    /// `None` takes a new seed from the system for every request.
    pub seed: Option<u64>,
    /// A token of these ends the text, beside the model's own end of sequence. It is kept in
    /// `token_ids` and left out of `text`.
    pub stop_token_ids: Vec<u32>,
    /// A string of these ends the text, which is cut before it. The tokens are kept.
    pub stop: Vec<String>,
    /// Goes on after the model's own end of sequence.
    pub ignore_eos: bool,
    /// Reports, with the log probability of each chosen token, those of this many likeliest ones
    /// (of the raw logits, before temperature and filters).
    pub logprobs: Option<usize>,
}

impl Default for SamplingParams {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_p: 1.0,
            top_k: None,
            min_p: 0.0,
            max_tokens: 16,
            seed: None,
            stop_token_ids: Vec::new(),
            stop: Vec::new(),
            ignore_eos: false,
            logprobs: None,
        }
    }
}

impl SamplingParams {
    /// The likeliest token at every step, up to `max_tokens`.
    #[must_use]
    pub fn greedy(max_tokens: usize) -> Self {
        Self { temperature: 0.0, max_tokens, ..Self::default() }
    }

    /// Checks every value against its limits.
    ///
    /// # Errors
    /// [`Error::SamplingParam`] naming the first value outside its range.
    pub fn validate(&self) -> Result<(), Error> {
        let refuse = |name, value: String, limit| Err(Error::SamplingParam { name, value, limit });
        // Written so that NaN fails every one of them.
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return refuse("temperature", self.temperature.to_string(), "finite and >= 0");
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return refuse("top_p", self.top_p.to_string(), "> 0 and <= 1");
        }
        if self.top_k == Some(0) {
            return refuse("top_k", "0".to_owned(), ">= 1 (leave it out to keep every token)");
        }
        if !(self.min_p >= 0.0 && self.min_p <= 1.0) {
            return refuse("min_p", self.min_p.to_string(), ">= 0 and <= 1");
        }
        if self.max_tokens == 0 {
            return refuse("max_tokens", "0".to_owned(), ">= 1");
        }
        if self.stop.iter().any(String::is_empty) {
            return refuse("stop", "\"\"".to_owned(), "a string of at least one character");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_and_greedy_are_valid() {
        SamplingParams::default().validate().unwrap();
        SamplingParams::greedy(1).validate().unwrap();
    }

    #[test]
    fn every_bad_value_is_refused_by_name() {
        let base = SamplingParams::default;
        let cases = [
            ("temperature", SamplingParams { temperature: -0.1, ..base() }),
            ("temperature", SamplingParams { temperature: f32::NAN, ..base() }),
            ("temperature", SamplingParams { temperature: f32::INFINITY, ..base() }),
            ("top_p", SamplingParams { top_p: 0.0, ..base() }),
            ("top_p", SamplingParams { top_p: 1.01, ..base() }),
            ("top_p", SamplingParams { top_p: f32::NAN, ..base() }),
            ("top_k", SamplingParams { top_k: Some(0), ..base() }),
            ("min_p", SamplingParams { min_p: -1.0, ..base() }),
            ("min_p", SamplingParams { min_p: 1.5, ..base() }),
            ("max_tokens", SamplingParams { max_tokens: 0, ..base() }),
            ("stop", SamplingParams { stop: vec![String::new()], ..base() }),
        ];
        for (name, params) in cases {
            match params.validate() {
                Err(Error::SamplingParam { name: found, .. }) => assert_eq!(found, name),
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}
