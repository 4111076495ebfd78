//! `Llm`: loads a model and generates over a batch of prompts.
