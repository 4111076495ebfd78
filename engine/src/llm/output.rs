//! What goes in and comes out: prompts, completions, events, warnings.

use crate::sampling::Sampled;

/// What to continue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prompt {
    /// Text, encoded with the model's tokenizer and its special tokens.
    Text(String),
    /// Token ids, used as they are.
    TokenIds(Vec<u32>),
}

impl From<&str> for Prompt {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Prompt {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<u32>> for Prompt {
    fn from(ids: Vec<u32>) -> Self {
        Self::TokenIds(ids)
    }
}

impl From<&[u32]> for Prompt {
    fn from(ids: &[u32]) -> Self {
        Self::TokenIds(ids.into())
    }
}

/// One prompt and its continuations.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RequestOutput {
    /// The text, if the prompt was one.
    pub prompt: Option<String>,
    /// The ids that were fed.
    pub prompt_token_ids: Vec<u32>,
    /// The continuations.
    pub outputs: Vec<CompletionOutput>,
}

/// One continuation.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CompletionOutput {
    /// The text, without what stopped it; empty for a model without a tokenizer.
    pub text: String,
    /// The tokens, with the one that stopped it.
    pub token_ids: Vec<u32>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Log-probabilities of every token, where asked for.
    pub logprobs: Option<Vec<Sampled>>,
}

/// Why a continuation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FinishReason {
    /// An end-of-text token, a stop token or a stop string.
    Stop,
    /// `max_tokens`, or the model's longest sequence.
    Length,
}

impl FinishReason {
    /// `stop` or `length`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
        }
    }
}

impl std::fmt::Display for FinishReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// What happened in a step, told as it happens: for progress and streaming.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Rows of a prompt were computed.
    Prefill {
        /// The prompt's number.
        prompt: usize,
        /// Tokens computed so far.
        done: usize,
        /// Tokens of the prompt.
        total: usize,
    },
    /// A token was chosen.
    Token {
        /// The prompt's number.
        prompt: usize,
        /// The token.
        token: u32,
        /// Text that is now certain; may be empty, and never begins a stop string.
        text: &'a str,
    },
    /// A continuation ended. `text` is what had been held back.
    Finished {
        /// The prompt's number.
        prompt: usize,
        /// The last of its text.
        text: &'a str,
        /// Why it ended.
        reason: FinishReason,
    },
}

/// Something a user should know; never printed by this crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// A short name that stays the same between versions.
    pub code: String,
    /// The whole sentence.
    pub message: String,
}

impl From<&kv_scales::Warning> for Warning {
    fn from(warning: &kv_scales::Warning) -> Self {
        Self { code: warning.code.name().into(), message: warning.message.clone() }
    }
}
