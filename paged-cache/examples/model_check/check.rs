//! What must hold after every step, and what a refused call must not have changed.

use std::collections::{BTreeMap, BTreeSet};

use paged_cache::{Attention, BlockId, CacheConfig, Error, Group, Place, SeqId, Stats, Tier};

use super::model::{Op, World, id};

/// All that can be seen of a cache.
#[derive(Debug, PartialEq)]
struct Snapshot {
    tables: Vec<(SeqId, usize, usize, Vec<BlockId>)>,
    blocks: Vec<(u32, bool)>,
    stats: Stats,
}

impl World {
    /// Takes a step and checks everything.
    pub(crate) fn checked_step(&mut self, op: Op) {
        let before = self.snapshot();
        let step = self.step(op);
        if let Err(error) = &step {
            assert_eq!(before, self.snapshot(), "{error} changed something");
            if let Error::NoFreeBlocks { needed, free } = error {
                assert!(needed > free, "{error}");
            }
        }
        self.drain_events();
        self.check_counts();
        self.check_contents();
        self.check_evictions(&before, &self.snapshot());
        self.cold = None;
        self.clock += 1;
    }

    fn snapshot(&self) -> Snapshot {
        let mut tables = Vec::new();
        for &seq in self.sequences.keys() {
            let num_tokens = self.cache.num_tokens(seq).expect("it is there");
            let committed = self.cache.num_committed_tokens(seq).expect("it is there");
            for group in 0..self.groups.len() {
                let table = self.cache.group_block_table(seq, group).expect("it is there");
                tables.push((seq, num_tokens, committed, table.to_vec()));
            }
        }
        let block = |at| (self.cache.ref_count(id(at)), self.cache.is_cached(id(at)));
        let blocks = (0..self.memory[0].len()).map(block).collect();
        Snapshot { tables, blocks, stats: self.cache.stats() }
    }

    /// Every holder is counted, on every level; a block is used or free; the counts add up.
    fn check_counts(&self) {
        let mut held: BTreeMap<(u8, BlockId), u32> = BTreeMap::new();
        for (&seq, sequence) in &self.sequences {
            assert_eq!(self.cache.num_tokens(seq), Ok(sequence.num_tokens));
            assert_eq!(self.cache.num_committed_tokens(seq), Ok(sequence.num_committed));
            let mut own = BTreeSet::new();
            for at in 0..self.groups.len() {
                let table = self.cache.group_block_table(seq, at).expect("it is there");
                for &block in table.iter().filter(|block| !block.is_null()) {
                    assert!(own.insert(block), "{block:?} stands twice in sequence {seq}");
                    *held.entry((sequence.swapped.into(), block)).or_default() += 1;
                }
            }
        }
        for &block in self.pins.values().flatten() {
            *held.entry((0, block)).or_default() += 1;
        }
        for place in self.moves.iter().flat_map(|m| [m.from, m.to]) {
            *held.entry((place.level, place.block)).or_default() += 1;
        }
        for (level, blocks) in (0..).zip(&self.memory) {
            for block in (0..blocks.len()).map(id) {
                let holders = held.get(&(level, block)).copied().unwrap_or(0);
                assert_eq!(
                    self.cache.ref_count(Place { level, block }),
                    holders,
                    "{level} {block:?}"
                );
            }
        }
        let used = held.keys().filter(|(level, _)| *level == 0).count();
        let stats = self.cache.stats();
        assert_eq!(stats.used_blocks, used);
        assert_eq!(stats.free_blocks, self.cache.num_free_blocks());
        assert_eq!(stats.used_blocks + stats.free_blocks, stats.total_blocks);
        assert_eq!(stats.total_blocks, self.memory[0].len() - 1);
        let all = (1..self.memory[0].len()).map(id);
        let cached: Vec<_> = all.filter(|&block| self.cache.is_cached(block)).collect();
        assert_eq!(stats.indexed_blocks, cached.len());
        let free = cached.iter().filter(|&&block| self.cache.ref_count(block) == 0);
        assert_eq!(stats.cached_blocks, free.count());
        assert_eq!(stats.num_sequences, self.sequences.len());
        assert_eq!(self.cache.num_moves_in_flight(), self.moves.len());
        if self.cache.config().events {
            assert!(self.router.len() <= cached.len());
            assert_eq!(self.router.is_empty(), cached.is_empty());
        }
    }

    /// Every sequence reads, wherever it may look, what it wrote or would have written.
    fn check_contents(&self) {
        for (&seq, sequence) in &self.sequences {
            if sequence.broken || self.is_loading(seq) {
                continue;
            }
            let memory = &self.memory[usize::from(sequence.swapped)];
            for (at, group) in self.groups.iter().enumerate() {
                let contents = sequence.contents(at);
                let table = self.cache.group_block_table(seq, at).expect("it is there");
                assert!(table.len() >= sequence.num_tokens.div_ceil(group.block_size));
                for position in sequence.kept_from[at]..sequence.num_tokens {
                    let block = table[position / group.block_size];
                    assert!(!block.is_null(), "sequence {seq} lost token {position} of group {at}");
                    let read = memory[block.index() as usize][position % group.block_size];
                    assert_eq!(
                        read, contents[position],
                        "sequence {seq}, token {position}, group {at}"
                    );
                }
                // And a window holds no more than it looks at, to a block.
                let held = table.iter().take_while(|block| block.is_null()).count();
                let kept = sequence.kept_from[at] / group.block_size;
                assert!(
                    held >= kept.min(table.len()),
                    "sequence {seq} holds what is behind its window"
                );
            }
        }
    }

    /// A cached block gives way only when nothing blank is left, and the longest unused one first.
    fn check_evictions(&mut self, before: &Snapshot, after: &Snapshot) {
        let resized = before.blocks.len() != after.blocks.len();
        let reset = after.stats.indexed_blocks == 0;
        let pairs = before.blocks.iter().zip(&after.blocks).enumerate();
        let evicted = pairs.clone().filter(|(_, (old, new))| **old == (0, true) && !new.1);
        let evicted: Vec<_> = evicted.map(|(block, _)| self.let_go[block]).collect();
        if let (Some(&youngest), false) = (evicted.iter().max(), resized || reset) {
            let blank = after.stats.free_blocks - after.stats.cached_blocks;
            assert_eq!(blank, 0, "a cached block was evicted with {blank} blank ones left");
            let stayed =
                pairs.clone().filter(|(_, (old, new))| **old == (0, true) && **new == (0, true));
            for (block, _) in stayed {
                assert!(self.let_go[block] >= youngest, "block {block} should have gone first");
            }
        }
        for (block, (old, new)) in pairs {
            if old.0 > 0 && new.0 == 0 {
                self.let_go[block] = if self.cold == Some(block) { 0 } else { self.clock };
            }
        }
    }
}

/// A cache of random shape.
pub(crate) fn config(seed: u64) -> CacheConfig {
    let pick = |shift: u32, n: u64| (seed >> shift) % n;
    let size = 1_usize << pick(0, 4);
    let other = 1_usize << pick(2, 4);
    let reach = 1 + pick(4, 16) as usize;
    let groups = match pick(8, 8) {
        0..=2 => vec![Group::full(size)],
        3 => vec![Group::sliding_window(size, reach)],
        4 => vec![Group::chunked_local(size, reach)],
        5 => vec![Group::full(size), Group::sliding_window(other, reach)],
        6 => vec![Group::chunked_local(other, reach), Group::full(size)],
        _ => vec![
            Group::full(size),
            Group::sliding_window(size, reach),
            Group { attention: Attention::SlidingWindow { window: 2 * reach }, block_size: other },
        ],
    };
    let tier = |blocks: u64| Tier { medium: "CPU", num_blocks: 2 + blocks as usize };
    CacheConfig {
        groups,
        watermark: [0, 0, 2][pick(11, 3) as usize],
        prefix_caching: pick(13, 8) > 0,
        deduplicate: pick(16, 3) == 0,
        events: pick(18, 2) == 0,
        tiers: (0..pick(19, 3)).map(|at| tier(pick(21 + at as u32 * 5, 32))).collect(),
        ..CacheConfig::new(5 + pick(32, 60) as usize, size)
    }
}

/// Takes all the steps on one cache, then lets everything go: nothing may be left. Returns how many
/// tokens were hits.
pub(crate) fn run(seed: u64, ops: impl IntoIterator<Item = Op>) -> u64 {
    let mut world = World::new(config(seed));
    for op in ops {
        world.checked_step(op);
    }
    world.finish_all();
    world.hits
}
