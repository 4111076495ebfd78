//! What can be wrong with a call. Every error leaves the cache exactly as it was.

use crate::ids::{PinId, SeqId};
use crate::moves::Move;

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
        /// The bytes of one block over all its layers.
        block_bytes: u64,
        /// How many blocks fit.
        blocks: u64,
    },
    /// A block, or a token, of zero bytes.
    #[error("a block of 0 bytes")]
    BlockBytes,
    /// No group, or more than 255.
    #[error("{0} block groups: need 1 to 255")]
    NumGroups(usize),
    /// A group that does not exist.
    #[error("group {got} of {num_groups}")]
    UnknownGroup {
        /// The group asked for.
        got: usize,
        /// How many there are.
        num_groups: usize,
    },
    /// A sliding window or a chunk of no tokens.
    #[error("group {0} looks at no tokens: its window or chunk is 0")]
    NoWindow(usize),
    /// More tiers than levels can be numbered.
    #[error("{0} tiers: at most 254")]
    NumTiers(usize),
    /// A range of a prompt's extras that holds no position.
    #[error("an extra key for the empty range {start}..{end}")]
    EmptyExtra {
        /// Its first position.
        start: usize,
        /// The position behind its last.
        end: usize,
    },
    /// The pool has too few free blocks.
    #[error("need {needed} blocks, {free} free")]
    NoFreeBlocks {
        /// The blocks the call needs, free cached ones it would share counted.
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
    /// A sequence whose blocks are on a tier.
    #[error("sequence {0} is swapped out")]
    SwappedOut(SeqId),
    /// A sequence whose blocks are on the device.
    #[error("sequence {0} is not swapped out")]
    NotSwappedOut(SeqId),
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
    /// Tokens that a window or chunk has moved past.
    #[error("sequence {seq} has let its tokens before {kept_from} go, {got} among them")]
    LetGo {
        /// The sequence.
        seq: SeqId,
        /// The first token still there.
        kept_from: usize,
        /// The first token needed.
        got: usize,
    },
    /// Other tokens than the ones already committed for a block shared with a fork.
    #[error("sequence {seq} shares the block at token {position}, committed with other tokens")]
    CommitDiffers {
        /// The sequence.
        seq: SeqId,
        /// The block's first token.
        position: usize,
    },
    /// A pin that was never given out, or was taken back.
    #[error("no pin {0}")]
    UnknownPin(PinId),
    /// Blocks are in use.
    #[error("{0} blocks are in use")]
    InUse(usize),
    /// Moves that were handed out and neither finished nor failed.
    #[error("{0} moves are not finished")]
    MovesInFlight(usize),
    /// A move that was not handed out, or is over.
    #[error("{0} is not under way")]
    UnknownMove(Move),
    /// A level that does not exist, or has none below it.
    #[error("no tier below level {0}")]
    NoTier(usize),
}

/// The result of a call on the cache.
pub type Result<T, E = Error> = std::result::Result<T, E>;
