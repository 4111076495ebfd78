//! From logits to a token: greedy, temperature, top-k, top-p, min-p; one random stream per sequence.
//!
//! A draw is a pure function of the logits, the parameters, the seed, the stream and the number of
//! tokens drawn before: what else is in the batch cannot change it. Sums are taken in f64, in an
//! order that depends on the logits alone.

mod params;
mod philox;
mod stop;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::hash::{BuildHasher, Hasher, RandomState};

pub use params::SamplingParams;
pub use stop::{Released, StopStrings};

use crate::Error;
use crate::ops::log_sum_exp;

/// Chooses the tokens of one sequence.
#[derive(Debug, Clone)]
pub struct Sampler {
    temperature: f64,
    top_p: f64,
    top_k: usize,
    min_p: f64,
    num_logprobs: usize,
    seed: u64,
    stream: u64,
    position: u64,
    /// Scratch: kept between calls, so that a step allocates nothing once it has grown.
    candidates: Vec<Candidate>,
}

/// A chosen token.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampled {
    /// The token.
    pub token: u32,
    /// Its log probability under the raw logits (temperature and filters aside).
    pub logprob: f32,
    /// The likeliest tokens and their log probabilities, likeliest first; empty unless asked for.
    pub top: Vec<(u32, f32)>,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    token: u32,
    logit: f32,
    weight: f64,
}

impl Candidate {
    /// Likeliest first; of equal logits the lowest id first, so that the order is total.
    fn by_rank(&self, other: &Self) -> Ordering {
        other.logit.total_cmp(&self.logit).then(self.token.cmp(&other.token))
    }
}

impl Sampler {
    /// A sampler for the `index`-th sequence of a request (0 unless it asks for several): sequences
    /// that share a seed draw from different streams. `params` have passed
    /// [`SamplingParams::validate`].
    #[must_use]
    pub fn new(params: &SamplingParams, index: u64) -> Self {
        Self {
            temperature: f64::from(params.temperature),
            top_p: f64::from(params.top_p),
            top_k: params.top_k.map_or(usize::MAX, |k| k as usize),
            min_p: f64::from(params.min_p),
            num_logprobs: params.logprobs.unwrap_or(0),
            // The standard library keys each `RandomState` from the system's own randomness.
            seed: params.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish()),
            stream: index,
            position: 0,
            candidates: Vec::new(),
        }
    }

    /// Chooses the next token of the sequence from the logits of the whole vocabulary.
    ///
    /// # Errors
    /// [`Error::Logits`] if a logit is NaN or +∞, if none is above −∞, or if there are none:
    /// a broken model must not look like a working one.
    pub fn sample(&mut self, logits: &[f32]) -> Result<Sampled, Error> {
        let best = argmax(logits)?;
        let log_sum = log_sum_exp(logits);
        let token = if self.temperature == 0.0 { best as u32 } else { self.draw(logits, best) };
        self.position += 1;
        let logprob = |token: u32| (f64::from(logits[token as usize]) - log_sum) as f32;
        let top = if self.num_logprobs == 0 {
            Vec::new()
        } else {
            self.fill(logits, |_| true);
            self.keep_likeliest(self.num_logprobs);
            self.candidates.iter().map(|c| (c.token, logprob(c.token))).collect()
        };
        Ok(Sampled { token, logprob: logprob(token), top })
    }

    fn draw(&mut self, logits: &[f32], best: usize) -> u32 {
        let max = f64::from(logits[best]);
        let temperature = self.temperature;
        let scaled = |logit: f32| (f64::from(logit) - max) / temperature;
        let floor = self.min_p.ln();
        self.fill(logits, |logit| scaled(logit) >= floor);
        if self.top_k < self.candidates.len() {
            self.keep_likeliest(self.top_k);
        }
        let mut total = 0.0;
        for candidate in &mut self.candidates {
            candidate.weight = scaled(candidate.logit).exp();
            total += candidate.weight;
        }
        if self.top_p < 1.0 {
            total = self.keep_nucleus(self.top_p * total);
        }
        let target = philox::uniform(self.seed, self.stream, self.position) * total;
        let mut sum = 0.0;
        for candidate in &self.candidates {
            sum += candidate.weight;
            if sum > target {
                return candidate.token;
            }
        }
        // Rounding can leave the sum a hair short of `target`: only when that is the very end.
        self.candidates.iter().rev().find(|c| c.weight > 0.0).map_or(best as u32, |c| c.token)
    }

    fn fill(&mut self, logits: &[f32], keep: impl Fn(f32) -> bool) {
        self.candidates.clear();
        let candidate = |(token, &logit)| Candidate { token: token as u32, logit, weight: 0.0 };
        let possible = |c: &Candidate| c.logit > f32::NEG_INFINITY && keep(c.logit);
        self.candidates.extend(logits.iter().enumerate().map(candidate).filter(possible));
    }

    /// Keeps the `count` likeliest candidates, likeliest first.
    fn keep_likeliest(&mut self, count: usize) {
        self.rank_first(count);
        self.candidates.truncate(count);
    }

    /// Brings the `count` likeliest candidates to the front, in order: cheaper than sorting them all.
    fn rank_first(&mut self, count: usize) {
        let count = count.min(self.candidates.len());
        if count < self.candidates.len() {
            self.candidates.select_nth_unstable_by(count, Candidate::by_rank);
        }
        self.candidates[..count].sort_unstable_by(Candidate::by_rank);
    }

    /// Keeps the fewest of the likeliest candidates whose weights reach `enough`; returns their sum.
    fn keep_nucleus(&mut self, enough: f64) -> f64 {
        let mut ranked = 0;
        let (mut kept, mut sum) = (0, 0.0);
        while kept < self.candidates.len() && (sum < enough || kept == 0) {
            if kept == ranked {
                ranked = (ranked * 8).max(64).min(self.candidates.len());
                self.rank_first(ranked);
            }
            sum += self.candidates[kept].weight;
            kept += 1;
        }
        self.candidates.truncate(kept);
        sum
    }
}

/// The index of the largest logit, of equal ones the lowest.
///
/// # Errors
/// [`Error::Logits`], as [`Sampler::sample`].
pub fn argmax(logits: &[f32]) -> Result<usize, Error> {
    let mut best = None;
    let mut max = f32::NEG_INFINITY;
    for (index, &logit) in logits.iter().enumerate() {
        if logit > max || logit.is_nan() {
            if logit.is_nan() || logit == f32::INFINITY {
                return Err(Error::Logits {
                    message: format!("the logit of token {index} is {logit}"),
                });
            }
            (best, max) = (Some(index), logit);
        }
    }
    best.ok_or_else(|| Error::Logits {
        message: format!("none of the {} logits is above -inf", logits.len()),
    })
}
