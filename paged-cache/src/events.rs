//! What a router must know of the prefix cache: which blocks came and went.
//!
//! Names and meanings are those of vLLM's KV events, so that a router made for those can follow this
//! cache. One difference, on purpose: a key that several blocks hold is stored once and removed once,
//! with the first and last of them; so a router that keeps a set of keys is always right.

use std::ops::Range;

use crate::group::{Attention, Group};
use crate::key::BlockKey;
use crate::sequence::{Chain, Sequence};

/// One change of the prefix cache, in the order they happened.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Blocks can be hit from now on.
    BlockStored(BlockStored),
    /// Blocks can no longer be hit.
    BlockRemoved(BlockRemoved),
    /// No block can be hit.
    AllBlocksCleared,
}

/// Consecutive blocks of one prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockStored {
    /// The blocks' keys, in the order of the prefix.
    pub block_hashes: Vec<BlockKey>,
    /// The key of the block before them; none at the beginning, and none when a block arrived in a
    /// lower tier, of whose prefix nothing is known there.
    pub parent_block_hash: Option<BlockKey>,
    /// The token ids of all the blocks; empty for a lower tier.
    pub token_ids: Vec<u32>,
    /// Tokens per block.
    pub block_size: usize,
    /// The adapter the prefix was computed under.
    pub lora_name: Option<String>,
    /// Where the blocks are: `"GPU"`, or the name of a tier.
    pub medium: &'static str,
    /// The block group.
    pub group_idx: usize,
    /// The group's kind: `"full_attention"`, `"sliding_window"`, `"chunked_local_attention"`.
    pub kv_cache_spec_kind: &'static str,
    /// The window, of a sliding-window group.
    pub kv_cache_spec_sliding_window: Option<usize>,
}

/// Blocks that lost their content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockRemoved {
    /// The blocks' keys.
    pub block_hashes: Vec<BlockKey>,
    /// Where the blocks were.
    pub medium: &'static str,
    /// The block group.
    pub group_idx: usize,
}

/// The events since they were last drained; does nothing unless they are asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct EventLog {
    enabled: bool,
    events: Vec<Event>,
}

impl EventLog {
    pub(crate) fn new(enabled: bool) -> Self {
        Self { enabled, events: Vec::new() }
    }

    pub(crate) fn push(&mut self, event: impl FnOnce() -> Event) {
        if self.enabled {
            self.events.push(event());
        }
    }

    pub(crate) fn removed(&mut self, key: BlockKey, medium: &'static str, group: u8) {
        self.push(|| {
            let block_hashes = vec![key];
            Event::BlockRemoved(BlockRemoved { block_hashes, medium, group_idx: group.into() })
        });
    }

    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Event> + '_ {
        self.events.drain(..)
    }
}

impl BlockStored {
    /// What all blocks of a group have in common.
    pub(crate) fn of_group(group: &Group, group_idx: usize, medium: &'static str) -> Self {
        let window = match group.attention {
            Attention::SlidingWindow { window } => Some(window),
            _ => None,
        };
        Self {
            block_hashes: Vec::new(),
            parent_block_hash: None,
            token_ids: Vec::new(),
            block_size: group.block_size,
            lora_name: None,
            medium,
            group_idx,
            kv_cache_spec_kind: group.attention.kind(),
            kv_cache_spec_sliding_window: window,
        }
    }

    /// Adds the blocks `run` of a sequence.
    pub(crate) fn with_run(self, sequence: &Sequence, chain: &Chain, run: Range<usize>) -> Self {
        let tokens = run.start * self.block_size..run.end * self.block_size;
        Self {
            parent_block_hash: chain.parent(run.start),
            block_hashes: chain.keys[run].to_vec(),
            token_ids: sequence.tokens[tokens].to_vec(),
            lora_name: Some(&sequence.lora).filter(|lora| !lora.is_empty()).cloned(),
            ..self
        }
    }
}
