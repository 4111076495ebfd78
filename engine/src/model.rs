//! The forward pass of a Llama-like decoder over a step batch of several sequences.
