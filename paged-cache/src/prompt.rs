//! What a sequence begins with: tokens, and what else their keys and values depend on.

use std::ops::Range;

use crate::error::{Error, Result};

/// The first tokens of a sequence, as [`crate::PagedCache::admit`] takes them. A plain slice of token
/// ids will do; the rest is for tenants, adapters, images, and prefill in chunks.
#[derive(Clone, Copy, Debug)]
pub struct Prompt<'a> {
    pub(crate) tokens: &'a [u32],
    pub(crate) salt: &'a [u8],
    pub(crate) lora: &'a str,
    pub(crate) extras: &'a [(Range<usize>, &'a [u8])],
    pub(crate) chunk: usize,
    pub(crate) shares: bool,
}

impl<'a> Prompt<'a> {
    /// A prompt of plain tokens.
    pub fn new(tokens: &'a [u32]) -> Self {
        Self { tokens, salt: &[], lora: "", extras: &[], chunk: usize::MAX, shares: true }
    }

    /// Shares blocks only with prompts of the same salt: one per tenant keeps tenants from learning,
    /// by timing, what others have asked.
    #[must_use]
    pub fn with_salt(self, salt: &'a [u8]) -> Self {
        Self { salt, ..self }
    }

    /// Shares blocks only with prompts under the same adapter.
    #[must_use]
    pub fn with_lora(self, lora: &'a str) -> Self {
        Self { lora, ..self }
    }

    /// Gives ranges of positions whose content the token ids do not tell, such as the placeholders of
    /// an image, and a key for it. Blocks that overlap a range are shared only under the same key.
    #[must_use]
    pub fn with_extras(self, extras: &'a [(Range<usize>, &'a [u8])]) -> Self {
        Self { extras, ..self }
    }

    /// Sets blocks aside for `tokens` uncached tokens at most. The others come by
    /// [`crate::PagedCache::append`], chunk by chunk, so that a long prompt does not hold what a
    /// sliding window will let go.
    #[must_use]
    pub fn with_chunk(self, tokens: usize) -> Self {
        Self { chunk: tokens, ..self }
    }

    /// Shares nothing of what is cached, so that every token is computed: for the log probabilities
    /// of a prompt, say. Its blocks can be hit by others all the same.
    #[must_use]
    pub fn computed_anew(self) -> Self {
        Self { shares: false, ..self }
    }

    pub(crate) fn validate(&self) -> Result<()> {
        match self.extras.iter().find(|(range, _)| range.is_empty()) {
            Some((range, _)) => Err(Error::EmptyExtra { start: range.start, end: range.end }),
            None => Ok(()),
        }
    }
}

impl<'a> From<&'a [u32]> for Prompt<'a> {
    fn from(tokens: &'a [u32]) -> Self {
        Self::new(tokens)
    }
}

impl<'a> From<&'a Vec<u32>> for Prompt<'a> {
    fn from(tokens: &'a Vec<u32>) -> Self {
        Self::new(tokens)
    }
}

impl<'a, const N: usize> From<&'a [u32; N]> for Prompt<'a> {
    fn from(tokens: &'a [u32; N]) -> Self {
        Self::new(tokens)
    }
}
