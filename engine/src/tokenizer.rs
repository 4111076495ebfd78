//! Text to token ids and back (`tokenizer.json`).
//!
//! What `llm` calls:
//! ```text
//! impl Tokenizer { pub fn from_checkpoint(c: &kv_scales::Checkpoint) -> Result<Option<Self>, Error>; pub fn encode(&self, text: &str) -> Result<Vec<u32>, Error>; pub fn decode(&self, ids: &[u32]) -> Result<String, Error>; }
//! ```
