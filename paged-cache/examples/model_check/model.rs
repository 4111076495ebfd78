//! A naive model of the cache: plain vectors and maps, no sharing, no tricks. It keeps what a device
//! would hold in every slot, writes where the cache says, and looks whether every sequence can still
//! read what it wrote.

use std::collections::{BTreeMap, BTreeSet};

use paged_cache::{
    Attention, BlockId, CacheConfig, Event, Group, Move, PagedCache, PinId, Place, SeqId,
};

/// What one slot holds: a fingerprint of the group, the token and all before it.
pub(crate) type Content = u64;

/// One random step: the numbers are read as the step needs them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op {
    pub(crate) kind: u8,
    pub(crate) a: u32,
    pub(crate) b: u32,
}

/// A sequence as the model sees it.
#[derive(Clone, Debug)]
pub(crate) struct Sequence {
    pub(crate) salt: u8,
    pub(crate) lora: u8,
    pub(crate) extras: Vec<(std::ops::Range<usize>, u8)>,
    /// All tokens, those of a prompt that have no slot yet too.
    pub(crate) tokens: Vec<u32>,
    /// Those that have a slot.
    pub(crate) num_tokens: usize,
    pub(crate) num_committed: usize,
    pub(crate) swapped: bool,
    /// A load failed: it can only be freed.
    pub(crate) broken: bool,
    /// The positions per group from which on it must be able to read.
    pub(crate) kept_from: Vec<usize>,
}

impl Sequence {
    /// What the slot of a token should hold, for each token of the sequence.
    pub(crate) fn contents(&self, group: usize) -> Vec<Content> {
        contents(group, self.salt, self.lora, &self.extras, &self.tokens)
    }
}

pub(crate) fn contents(
    group: usize,
    salt: u8,
    lora: u8,
    extras: &[(std::ops::Range<usize>, u8)],
    tokens: &[u32],
) -> Vec<Content> {
    let mut state = mix(mix(group as u64 + 1, u64::from(salt)), u64::from(lora));
    let mut sorted: Vec<_> = extras.iter().collect();
    sorted.sort_by_key(|(range, key)| (range.start, *key));
    let tokens = tokens.iter().enumerate();
    tokens
        .map(|(at, &token)| {
            state = mix(state, u64::from(token));
            for (range, key) in sorted.iter().filter(|(range, _)| range.contains(&at)) {
                state = mix(mix(state, range.start as u64), u64::from(*key));
            }
            state
        })
        .collect()
}

fn mix(a: u64, b: u64) -> u64 {
    let mut x = a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b.wrapping_add(0xd1b5_4a32_d192_ed03);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Everything outside the cache: the memories, the sequences' texts, the moves under way.
pub(crate) struct World {
    pub(crate) cache: PagedCache,
    pub(crate) groups: Vec<Group>,
    pub(crate) alignment: usize,
    /// Per level and block, what its slots hold.
    pub(crate) memory: Vec<Vec<Vec<Content>>>,
    pub(crate) sequences: BTreeMap<SeqId, Sequence>,
    /// Pins, and the blocks each holds.
    pub(crate) pins: BTreeMap<PinId, Vec<BlockId>>,
    pub(crate) moves: Vec<Move>,
    /// What a router knows from the events: keys on the device.
    pub(crate) router: BTreeSet<(usize, [u8; 32])>,
    /// When each device block was last let go, for the order of eviction.
    pub(crate) let_go: Vec<u64>,
    /// The block that the last step put back as the coldest, if it did.
    pub(crate) cold: Option<usize>,
    pub(crate) clock: u64,
    pub(crate) next_seq: u64,
    pub(crate) hits: u64,
}

impl World {
    pub(crate) fn new(config: CacheConfig) -> Self {
        let largest = config.groups.iter().map(|group| group.block_size).max().unwrap_or(1);
        let blank = |blocks: usize| vec![vec![0; largest]; blocks];
        let mut memory = vec![blank(config.num_blocks)];
        memory.extend(config.tiers.iter().map(|tier| blank(tier.num_blocks)));
        Self {
            groups: config.groups.clone(),
            alignment: largest,
            let_go: vec![0; config.num_blocks],
            cache: PagedCache::new(config).expect("the configuration is valid"),
            memory,
            sequences: BTreeMap::new(),
            pins: BTreeMap::new(),
            moves: Vec::new(),
            router: BTreeSet::new(),
            cold: None,
            clock: 1,
            next_seq: 0,
            hits: 0,
        }
    }

    /// Writes what a device would: the contents of a sequence's tokens, into their slots.
    pub(crate) fn write(&mut self, seq: SeqId, positions: std::ops::Range<usize>) {
        for (at, group) in self.groups.iter().enumerate() {
            let contents = self.sequences[&seq].contents(at);
            let slots = self.cache.group_slots(seq, at, positions.clone()).expect("just appended");
            for (position, slot) in positions.clone().zip(slots) {
                let (block, offset) =
                    (slot.index() / group.block_size, slot.index() % group.block_size);
                assert_ne!(block, 0, "a write into the null block");
                assert!(!self.cache.is_cached(id(block)), "a write into a block that can be hit");
                assert_eq!(self.cache.ref_count(id(block)), 1, "a write into a shared block");
                if offset == 0 {
                    // What another group left there must not look like this one's.
                    self.memory[0][block].fill(0);
                }
                self.memory[0][block][offset] = contents[position];
            }
        }
    }

    pub(crate) fn copy(&mut self, src: BlockId, dst: BlockId) {
        self.memory[0][dst.index() as usize] = self.memory[0][src.index() as usize].clone();
    }

    pub(crate) fn carry_out(&mut self, m: Move) {
        let read = self.memory[usize::from(m.from.level)][m.from.block.index() as usize].clone();
        self.memory[usize::from(m.to.level)][m.to.block.index() as usize] = read;
    }

    /// Whether a move into one of the sequence's blocks is under way.
    pub(crate) fn is_loading(&self, seq: SeqId) -> bool {
        let level = u8::from(self.sequences[&seq].swapped);
        (0..self.groups.len()).any(|group| {
            let table = self.cache.group_block_table(seq, group).expect("it is there");
            self.moves.iter().any(|m| m.to.level == level && table.contains(&m.to.block))
        })
    }

    /// The blocks of all levels that hold each content as their last, and can be hit. Contents tell
    /// all that came before, so the last slot of a full block tells the block.
    pub(crate) fn findable(&self) -> BTreeSet<(usize, Content)> {
        let mut set = BTreeSet::new();
        for (at, group) in self.groups.iter().enumerate() {
            for (level, blocks) in (0..).zip(&self.memory) {
                for (block, held) in blocks.iter().enumerate() {
                    if self.cache.is_cached(Place { level, block: id(block) }) {
                        set.insert((at, held[group.block_size - 1]));
                    }
                }
            }
        }
        set
    }

    /// The longest prefix an admission should find, by trying all lengths.
    pub(crate) fn expected_hit(&self, prompt: &Sequence) -> usize {
        let findable = self.findable();
        let contents: Vec<_> = (0..self.groups.len()).map(|at| prompt.contents(at)).collect();
        let usable = |length: &usize| {
            self.groups.iter().enumerate().all(|(at, group)| {
                let size = group.block_size;
                let first = first_needed(group, *length) / size;
                (first..length / size)
                    .all(|block| findable.contains(&(at, contents[at][(block + 1) * size - 1])))
            })
        };
        let longest = prompt.tokens.len().saturating_sub(1) / self.alignment;
        (0..=longest).rev().map(|n| n * self.alignment).find(usable).unwrap_or(0)
    }

    /// Ends everything. Nothing may be left in use, on any level.
    pub(crate) fn finish_all(&mut self) {
        for m in std::mem::take(&mut self.moves) {
            self.carry_out(m);
            self.cache.finish(m).expect("it is under way");
        }
        for seq in std::mem::take(&mut self.sequences).into_keys() {
            self.cache.free(seq).expect("it is there");
        }
        for pin in std::mem::take(&mut self.pins).into_keys() {
            self.cache.unpin(pin).expect("it is there");
        }
        assert_eq!(self.cache.stats().used_blocks, 0);
        self.cache.reset_prefix_cache().expect("nothing is in use");
        assert_eq!(self.cache.num_free_blocks(), self.memory[0].len() - 1);
    }

    /// Follows the events as a router would.
    pub(crate) fn drain_events(&mut self) {
        for event in self.cache.drain_events().collect::<Vec<_>>() {
            match event {
                Event::BlockStored(stored) if stored.medium == "GPU" => {
                    for key in stored.block_hashes {
                        let new = self.router.insert((stored.group_idx, key.to_bytes()));
                        assert!(new, "a key was stored twice");
                    }
                }
                Event::BlockRemoved(removed) if removed.medium == "GPU" => {
                    for key in removed.block_hashes {
                        let known = self.router.remove(&(removed.group_idx, key.to_bytes()));
                        assert!(known, "a key was removed that was not stored");
                    }
                }
                Event::AllBlocksCleared => self.router.clear(),
                _ => {}
            }
        }
    }
}

/// The first position that the token at `position` looks at, written down once more, independently.
pub(crate) fn first_needed(group: &Group, position: usize) -> usize {
    match group.attention {
        Attention::Full => 0,
        Attention::SlidingWindow { window } => {
            (0..=position).find(|first| position - first < window).unwrap_or(position)
        }
        Attention::ChunkedLocal { chunk } => position / chunk * chunk,
    }
}

pub(crate) fn id(block: usize) -> BlockId {
    BlockId::from(block as u32)
}
