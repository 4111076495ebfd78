//! Loads a Llama checkpoint and generates text from an FP8 paged KV cache.
