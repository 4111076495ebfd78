//! From logits to a token: greedy, temperature, top-k, top-p; one seed per sequence.
//!
//! What `llm` calls:
//! ```text
//! pub struct SamplingParams { temperature, top_p, top_k: Option<u32>, max_tokens, seed: Option<u64>, stop_token_ids: Vec<u32>, ignore_eos: bool, logprobs: Option<usize>, .. }
//! impl SamplingParams { pub fn validate(&self) -> Result<(), Error> }
//! pub struct Sampler;        // one per sequence: its random state does not depend on the batch
//! impl Sampler { pub fn new(params: &SamplingParams, index: u64) -> Self; pub fn sample(&mut self, logits: &[f32]) -> Sampled }
//! pub struct Sampled { pub token: u32, pub logprob: f32, pub top: Vec<(u32, f32)> /* when logprobs asked */ }
//! ```
