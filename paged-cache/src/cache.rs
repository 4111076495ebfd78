//! The cache itself: its parts, how it is made, and what it tells about itself. What it does is in
//! the modules beside: `admit`, `grow`, `commit`, `pin`, `moves`, `swap`, `resize`.

use std::collections::HashMap;
use std::ops::Range;

use crate::config::CacheConfig;
use crate::error::{Error, Result};
use crate::events::{Event, EventLog};
use crate::group::Group;
use crate::ids::{BlockCopy, BlockId, PinId, SeqId};
use crate::key::{self, BlockKey};
use crate::level::Level;
use crate::lookup::Lookup;
use crate::moves::{Move, Place};
use crate::sequence::Sequences;
use crate::slots::Slots;
use crate::stats::{Counters, Stats};

/// Block tables for many sequences over one pool of blocks, with shared prefixes.
///
/// It decides where each token's keys and values are stored, and never touches them. Every call
/// either succeeds or leaves the cache as it was.
#[derive(Clone, Debug)]
pub struct PagedCache {
    pub(crate) config: CacheConfig,
    pub(crate) layout: Layout,
    /// The device, then the tiers.
    pub(crate) levels: Vec<Level>,
    pub(crate) sequences: Sequences,
    pub(crate) pins: HashMap<PinId, Vec<BlockId>>,
    pub(crate) num_pins: u64,
    /// Moves under way: from where, by where to.
    pub(crate) in_flight: HashMap<Place, Place>,
    pub(crate) events: EventLog,
    pub(crate) counters: Counters,
    /// Scratch, kept to be used again.
    pub(crate) lookup: Lookup,
    pub(crate) copies: Vec<BlockCopy>,
    pub(crate) moves: Vec<Move>,
}

/// The groups, and what follows from them.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) groups: Vec<Group>,
    /// The distinct block sizes, each with the parent of first blocks.
    pub(crate) roots: Vec<(usize, BlockKey)>,
    /// Per group: the number of its block size in `roots`.
    pub(crate) chain_of: Vec<usize>,
    /// The groups in the order a prefix is looked up: those that bound it from the left first.
    pub(crate) order: Vec<usize>,
    /// A hit ends at a multiple of this, the largest block size.
    pub(crate) alignment: usize,
}

impl Layout {
    pub(crate) fn new(config: &CacheConfig) -> Self {
        let groups = config.groups.clone();
        let mut roots: Vec<(usize, BlockKey)> = Vec::new();
        let mut chain_of = Vec::new();
        for group in &groups {
            let size = group.block_size;
            let known = roots.iter().position(|&(known, _)| known == size);
            chain_of.push(known.unwrap_or_else(|| {
                roots.push((size, key::cache_root(&config.identity, size)));
                roots.len() - 1
            }));
        }
        let mut order: Vec<usize> = (0..groups.len()).collect();
        order.sort_by_key(|&at| groups[at].attention.kind() != "full_attention");
        let alignment = groups.iter().map(|group| group.block_size).max().unwrap_or(1);
        Self { groups, roots, chain_of, order, alignment }
    }
}

impl PagedCache {
    /// An empty cache. Costs the same for ten blocks and ten million.
    pub fn new(config: CacheConfig) -> Result<Self> {
        config.validate()?;
        let device = Level::new(config.num_blocks, config.prefix_caching, config.medium);
        let tiers = config.tiers.iter();
        let tiers = tiers.map(|t| Level::new(t.num_blocks, config.prefix_caching, t.medium));
        Ok(Self {
            layout: Layout::new(&config),
            levels: std::iter::once(device).chain(tiers).collect(),
            sequences: Sequences::default(),
            pins: HashMap::new(),
            num_pins: 0,
            in_flight: HashMap::new(),
            events: EventLog::new(config.events),
            counters: Counters::default(),
            lookup: Lookup::default(),
            copies: Vec::new(),
            moves: Vec::new(),
            config,
        })
    }

    /// How the cache was set up; `num_blocks` follows [`Self::resize`].
    pub fn config(&self) -> &CacheConfig {
        &self.config
    }

    /// The blocks of a sequence, in the order of its tokens. Of several groups, the first one's. The
    /// last entries may be blocks in reserve. For a sequence that is swapped out these are blocks of
    /// the tier.
    #[inline]
    pub fn block_table(&self, seq: SeqId) -> Result<&[BlockId]> {
        Ok(&self.sequences.get(seq)?.tables[0].blocks)
    }

    /// The blocks of a sequence for one group. Null blocks stand where a window has moved on.
    pub fn group_block_table(&self, seq: SeqId, group: usize) -> Result<&[BlockId]> {
        self.group(group)?;
        Ok(&self.sequences.get(seq)?.tables[group].blocks)
    }

    /// Where the tokens at `positions` of a sequence are stored; of several groups, by the first.
    pub fn slots(&self, seq: SeqId, positions: Range<usize>) -> Result<Slots<'_>> {
        self.group_slots(seq, 0, positions)
    }

    /// Where one group's keys and values of the tokens at `positions` are stored.
    pub fn group_slots(
        &self,
        seq: SeqId,
        group: usize,
        positions: Range<usize>,
    ) -> Result<Slots<'_>> {
        let block_size = self.group(group)?.block_size;
        let sequence = self.sequences.get(seq)?;
        if sequence.level != 0 {
            return Err(Error::SwappedOut(seq));
        }
        if positions.end > sequence.num_tokens {
            let got = positions.end;
            return Err(Error::Length { seq, num_tokens: sequence.num_tokens, got });
        }
        let table = &sequence.tables[group];
        let kept_from = table.num_skipped * block_size;
        if !positions.is_empty() && positions.start < kept_from {
            return Err(Error::LetGo { seq, kept_from, got: positions.start });
        }
        Ok(Slots::new(&table.blocks, block_size, positions))
    }

    fn group(&self, group: usize) -> Result<&Group> {
        let num_groups = self.layout.groups.len();
        self.layout.groups.get(group).ok_or(Error::UnknownGroup { got: group, num_groups })
    }

    /// The tokens of a sequence that have a slot.
    pub fn num_tokens(&self, seq: SeqId) -> Result<usize> {
        Ok(self.sequences.get(seq)?.num_tokens)
    }

    /// The tokens of a sequence that were committed, or found in the cache at its admission.
    pub fn num_committed_tokens(&self, seq: SeqId) -> Result<usize> {
        Ok(self.sequences.get(seq)?.num_committed)
    }

    /// The keys of a sequence's full committed blocks, for the first group's block size.
    pub fn block_keys(&self, seq: SeqId) -> Result<&[BlockKey]> {
        Ok(&self.sequences.get(seq)?.chains[0].keys)
    }

    /// The blocks that can be taken, cached ones counted.
    pub fn num_free_blocks(&self) -> usize {
        self.levels[0].pool.num_free()
    }

    /// The sequences in the cache, swapped-out ones counted.
    pub fn num_sequences(&self) -> usize {
        self.sequences.len()
    }

    /// How many holders a block has: sequences, pins, moves under way. None if there is no such block.
    pub fn ref_count(&self, block: impl Into<Place>) -> u32 {
        self.known(block.into()).map_or(0, |(level, block)| level.pool.ref_count(block))
    }

    /// Whether a block's content can be found.
    pub fn is_cached(&self, block: impl Into<Place>) -> bool {
        self.known(block.into()).is_some_and(|(level, block)| level.pool.is_cached(block))
    }

    fn known(&self, Place { level, block }: Place) -> Option<(&Level, BlockId)> {
        let level = self.levels.get(usize::from(level))?;
        (block.at() < level.pool.len()).then_some((level, block))
    }

    /// The sequences in the order they should give way when blocks run out: last come, first to go.
    pub fn preemption_order(&self) -> Vec<SeqId> {
        let on_device = self.sequences.iter().filter(|(_, sequence)| sequence.level == 0);
        let mut order: Vec<_> = on_device.map(|(seq, s)| (s.admission, seq)).collect();
        order.sort_unstable_by_key(|&(admission, _)| std::cmp::Reverse(admission));
        order.into_iter().map(|(_, seq)| seq).collect()
    }

    /// Forgets all prefixes on all levels, after new weights for instance. Nothing may be in use.
    pub fn reset_prefix_cache(&mut self) -> Result<()> {
        let in_use = self.levels.iter().map(|level| level.pool.num_used()).sum();
        if in_use > 0 {
            return Err(Error::InUse(in_use));
        }
        for level in &mut self.levels {
            level.pool.clear_cached();
            level.index.clear();
        }
        self.events.push(|| Event::AllBlocksCleared);
        Ok(())
    }

    /// The events since the last call, if the configuration asks for events.
    pub fn drain_events(&mut self) -> impl Iterator<Item = Event> + '_ {
        self.events.drain()
    }

    /// The memory that the bookkeeping of all blocks takes, on all levels, without the sequences.
    pub fn bookkeeping_bytes(&self) -> usize {
        self.levels.iter().map(|level| level.pool.bytes() + level.index.bytes()).sum()
    }

    /// What the cache holds and has done.
    pub fn stats(&self) -> Stats {
        Stats::new(&self.levels[0], self.sequences.len(), self.counters)
    }
}
