//! Block groups: layers that look back equally far share one block table.

use std::fmt;

/// How far back the layers of a group look. Decides which blocks a sequence must keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attention {
    /// To the beginning.
    Full,
    /// To the last `window` tokens, the current one counted.
    SlidingWindow {
        /// Tokens in the window.
        window: usize,
    },
    /// To the beginning of the current chunk of `chunk` tokens.
    ChunkedLocal {
        /// Tokens in a chunk.
        chunk: usize,
    },
}

impl Attention {
    /// How many leading tokens the token at `position`, and all after it, no longer look at.
    #[inline]
    pub fn num_skipped_tokens(self, position: usize) -> usize {
        match self {
            Self::Full => 0,
            Self::SlidingWindow { window } => (position + 1).saturating_sub(window),
            Self::ChunkedLocal { chunk } => position - position % chunk,
        }
    }

    /// The most blocks one sequence of up to `max_tokens` holds at once, if no step adds more than
    /// `max_batch` tokens to it.
    pub fn max_blocks(self, block_size: usize, max_tokens: usize, max_batch: usize) -> usize {
        match self {
            Self::Full => max_tokens.div_ceil(block_size),
            Self::SlidingWindow { window } => {
                // The window need not begin at a block's edge: hence one more.
                let held = (window - 1).saturating_add(max_batch).min(max_tokens);
                (held.div_ceil(block_size) + 1).min(max_tokens.div_ceil(block_size))
            }
            Self::ChunkedLocal { chunk } => {
                chunk.saturating_add(max_batch).min(max_tokens).div_ceil(block_size)
            }
        }
    }

    /// The name vLLM's events use for the kind.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Full => "full_attention",
            Self::SlidingWindow { .. } => "sliding_window",
            Self::ChunkedLocal { .. } => "chunked_local_attention",
        }
    }
}

impl fmt::Display for Attention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => write!(f, "full attention"),
            Self::SlidingWindow { window } => write!(f, "sliding window {window}"),
            Self::ChunkedLocal { chunk } => write!(f, "chunked local {chunk}"),
        }
    }
}

/// One group: every sequence has one block table for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// How far back its layers look.
    pub attention: Attention,
    /// Tokens per block, a power of two.
    pub block_size: usize,
}

impl Group {
    /// A group of full attention.
    pub const fn full(block_size: usize) -> Self {
        Self { attention: Attention::Full, block_size }
    }

    /// A group of sliding-window attention.
    pub const fn sliding_window(block_size: usize, window: usize) -> Self {
        Self { attention: Attention::SlidingWindow { window }, block_size }
    }

    /// A group of chunked local attention.
    pub const fn chunked_local(block_size: usize, chunk: usize) -> Self {
        Self { attention: Attention::ChunkedLocal { chunk }, block_size }
    }

    /// The blocks that hold `num_tokens` tokens.
    #[inline]
    pub(crate) const fn blocks(&self, num_tokens: usize) -> usize {
        self.full_blocks(num_tokens) + (self.offset(num_tokens) != 0) as usize
    }

    /// The blocks that `num_tokens` tokens fill.
    #[inline]
    pub(crate) const fn full_blocks(&self, num_tokens: usize) -> usize {
        num_tokens >> self.block_size.trailing_zeros()
    }

    /// Where in its block a token lies.
    #[inline]
    pub(crate) const fn offset(&self, position: usize) -> usize {
        position & (self.block_size - 1)
    }

    /// The leading blocks that no token from `position` on looks at.
    #[inline]
    pub(crate) fn skipped_blocks(&self, position: usize) -> usize {
        self.full_blocks(self.attention.num_skipped_tokens(position))
    }
}
