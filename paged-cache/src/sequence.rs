//! The sequences: what the cache knows of each, and where freed ones' vectors wait to be used again.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::group::Group;
use crate::ids::{BlockId, SeqId};
use crate::key::{self, BlockKey, Extra};

/// One group's blocks of one sequence.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) blocks: Vec<BlockId>,
    /// The leading blocks that were let go, and are null.
    pub(crate) num_skipped: usize,
}

/// The keys of a sequence's full committed blocks, for one block size.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chain {
    pub(crate) block_size: usize,
    /// The parent of the first block.
    pub(crate) root: BlockKey,
    pub(crate) keys: Vec<BlockKey>,
}

impl Chain {
    /// The key before block `at`, if that is a block's.
    pub(crate) fn parent(&self, at: usize) -> Option<BlockKey> {
        at.checked_sub(1).map(|before| self.keys[before])
    }

    /// Adds the keys of the full blocks up to `num_blocks` of a sequence that begins with `tokens`.
    pub(crate) fn extend(&mut self, tokens: &[u32], num_blocks: usize, extras: &[Extra]) {
        for at in self.keys.len()..num_blocks {
            let start = at * self.block_size;
            let block = &tokens[start..start + self.block_size];
            let parent = self.keys.last().copied().unwrap_or(self.root);
            self.keys.push(key::chain(parent, block, start, extras));
        }
    }
}

/// What the cache knows of one sequence.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sequence {
    /// Per group.
    pub(crate) tables: Vec<Table>,
    /// Tokens that have a slot.
    pub(crate) num_tokens: usize,
    /// Tokens whose keys and values are written.
    pub(crate) num_committed: usize,
    /// The ids of the committed tokens; empty without prefix caching.
    pub(crate) tokens: Vec<u32>,
    /// Per distinct block size.
    pub(crate) chains: Vec<Chain>,
    pub(crate) extras: Vec<Extra>,
    pub(crate) lora: String,
    /// The level its blocks are on: 0, or 1 while it is swapped out.
    pub(crate) level: u8,
    /// Later admissions have higher numbers.
    pub(crate) admission: u64,
}

impl Sequence {
    fn clear(&mut self) {
        for table in &mut self.tables {
            table.blocks.clear();
            table.num_skipped = 0;
        }
        self.num_tokens = 0;
        self.num_committed = 0;
        self.tokens.clear();
        self.chains.iter_mut().for_each(|chain| chain.keys.clear());
        self.extras.clear();
        self.lora.clear();
        self.level = 0;
    }

    /// Takes note of its next tokens' ids, and of the keys of the blocks they fill.
    pub(crate) fn know(&mut self, tokens: &[u32]) {
        self.tokens.extend_from_slice(tokens);
        for chain in &mut self.chains {
            let full = self.tokens.len() / chain.block_size;
            chain.extend(&self.tokens, full, &self.extras);
        }
    }

    /// Goes back to knowing its first `num_tokens` tokens.
    pub(crate) fn forget(&mut self, num_tokens: usize) {
        self.tokens.truncate(num_tokens);
        for chain in &mut self.chains {
            chain.keys.truncate(num_tokens / chain.block_size);
        }
    }

    /// Becomes a copy of `parent`, without the blocks it holds in reserve.
    pub(crate) fn copy(&mut self, parent: &Self, groups: &[Group]) {
        // Vector by vector: the derived `clone_from` of the structs would allocate them anew.
        self.tables.resize_with(groups.len(), Table::default);
        for ((own, table), group) in self.tables.iter_mut().zip(&parent.tables).zip(groups) {
            own.blocks.clone_from(&table.blocks);
            own.blocks.truncate(group.blocks(parent.num_tokens));
            own.num_skipped = table.num_skipped;
        }
        self.num_tokens = parent.num_tokens;
        self.num_committed = parent.num_committed;
        self.tokens.clone_from(&parent.tokens);
        self.chains.resize_with(parent.chains.len(), Chain::default);
        for (own, chain) in self.chains.iter_mut().zip(&parent.chains) {
            own.keys.clone_from(&chain.keys);
            (own.block_size, own.root) = (chain.block_size, chain.root);
        }
        self.extras.clone_from(&parent.extras);
        self.lora.clone_from(&parent.lora);
    }
}

/// Sequences by id. Their order is nobody's business: anything that lists them sorts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sequences {
    by_id: HashMap<SeqId, Box<Sequence>>,
    #[expect(
        clippy::vec_box,
        reason = "the boxes go back and forth, so that none is allocated anew"
    )]
    spares: Vec<Box<Sequence>>,
    admissions: u64,
}

impl Sequences {
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (SeqId, &Sequence)> {
        self.by_id.iter().map(|(&seq, sequence)| (seq, &**sequence))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Sequence> {
        self.by_id.values_mut().map(|sequence| &mut **sequence)
    }

    pub(crate) fn refuse_known(&self, seq: SeqId) -> Result<()> {
        if self.by_id.contains_key(&seq) { Err(Error::SequenceExists(seq)) } else { Ok(()) }
    }

    /// A sequence, wherever it is.
    #[inline]
    pub(crate) fn get(&self, seq: SeqId) -> Result<&Sequence> {
        self.by_id.get(&seq).map(|sequence| &**sequence).ok_or(Error::UnknownSequence(seq))
    }

    /// A sequence that is on the device.
    #[inline]
    pub(crate) fn resident(&mut self, seq: SeqId) -> Result<&mut Sequence> {
        match self.by_id.get_mut(&seq) {
            Some(sequence) if sequence.level == 0 => Ok(sequence),
            Some(_) => Err(Error::SwappedOut(seq)),
            None => Err(Error::UnknownSequence(seq)),
        }
    }

    /// A sequence that is swapped out.
    pub(crate) fn swapped(&mut self, seq: SeqId) -> Result<&mut Sequence> {
        match self.by_id.get_mut(&seq) {
            Some(sequence) if sequence.level != 0 => Ok(sequence),
            Some(_) => Err(Error::NotSwappedOut(seq)),
            None => Err(Error::UnknownSequence(seq)),
        }
    }

    /// An empty sequence to be filled, and then inserted or recycled.
    pub(crate) fn spare(&mut self) -> Box<Sequence> {
        self.spares.pop().unwrap_or_default()
    }

    pub(crate) fn insert(&mut self, seq: SeqId, mut sequence: Box<Sequence>) {
        self.admissions += 1;
        sequence.admission = self.admissions;
        self.by_id.insert(seq, sequence);
    }

    pub(crate) fn remove(&mut self, seq: SeqId) -> Result<Box<Sequence>> {
        self.by_id.remove(&seq).ok_or(Error::UnknownSequence(seq))
    }

    pub(crate) fn recycle(&mut self, mut sequence: Box<Sequence>) {
        sequence.clear();
        self.spares.push(sequence);
    }
}
