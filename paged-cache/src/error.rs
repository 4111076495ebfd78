//! What can be wrong with a call. Every error leaves the cache exactly as it was.

use crate::ids::SeqId;

/// Why a call was refused.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A block size of zero, or one that is not a power of two.
    #[error("block size {0} is not a power of two")]
    BlockSize(usize),
    /// Fewer than the null block and one more, or more than block ids can name.
    #[error("{got} blocks: need 2 (one is the null block) to {}", u32::MAX)]
    NumBlocks {
        /// The number asked for.
        got: usize,
    },
    /// A memory budget that does not hold the null block and one more.
    #[error(
        "a budget of {budget} bytes holds {blocks} blocks of {block_bytes} bytes: need at least 2 (one is the null block)"
    )]
    Budget {
        /// The bytes offered.
        budget: u64,
        /// The bytes of one block over all layers.
        block_bytes: u64,
        /// How many blocks fit.
        blocks: u64,
    },
    /// A block of zero bytes.
    #[error("a block of 0 bytes")]
    BlockBytes,
    /// The pool has too few free blocks.
    #[error("need {needed} blocks, {free} free")]
    NoFreeBlocks {
        /// The blocks the call needs.
        needed: usize,
        /// The blocks it may take.
        free: usize,
    },
    /// A sequence that was never admitted, or was freed.
    #[error("sequence {0} is not in the cache")]
    UnknownSequence(SeqId),
    /// A sequence that is already there.
    #[error("sequence {0} is already in the cache")]
    SequenceExists(SeqId),
    /// A length beyond the sequence's end.
    #[error("sequence {seq} has {num_tokens} tokens, not {got}")]
    Length {
        /// The sequence.
        seq: SeqId,
        /// Its length.
        num_tokens: usize,
        /// The length asked for.
        got: usize,
    },
}

/// The result of a call on the cache.
pub type Result<T, E = Error> = std::result::Result<T, E>;
