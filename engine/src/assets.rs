//! The model compiled into the binary: its files, named as in a checkpoint directory.
//!
//! What `llm` calls: `pub fn files() -> Vec<(String, Cow<'static, [u8]>)>`, given to `Checkpoint::from_memory`.
