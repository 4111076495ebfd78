//! Perplexity and agreement of one KV dtype against another, through the real paged cache.
//!
//! Stands on `Llm::score(&mut self, ids: &[u32]) -> Result<Scored { logprobs: Vec<f32> /* of ids[1..] */, argmax: Vec<u32> /* per position */ }, Error>`.
