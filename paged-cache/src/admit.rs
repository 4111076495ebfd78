//! Admission: a new sequence with what the cache already holds of it.

use crate::cache::PagedCache;
use crate::error::{Error, Result};
use crate::ids::SeqId;
use crate::key::{self, Extra};
use crate::moves::{Move, Place};
use crate::prompt::Prompt;
use crate::sequence::{Chain, Sequence};
use crate::slots::Slots;

/// What [`PagedCache::admit`] found and set aside.
#[derive(Debug)]
#[non_exhaustive]
pub struct Admission<'a> {
    /// The leading tokens that are in the cache already: do not compute them. Always fewer than the
    /// prompt has, as the last one's output is wanted.
    pub cached_tokens: usize,
    /// Where the next tokens go; of several groups, by the first.
    pub slots: Slots<'a>,
    /// Blocks to bring in from tiers before the sequence is computed. Empty without tiers.
    pub loads: &'a [Move],
}

impl PagedCache {
    /// Takes in a new sequence with its first tokens, shares the blocks that hold their beginning
    /// already, and sets blocks aside for the others.
    ///
    /// The others can be hit by later admissions only once they are [committed](Self::commit).
    pub fn admit<'p>(
        &mut self,
        seq: SeqId,
        prompt: impl Into<Prompt<'p>>,
    ) -> Result<Admission<'_>> {
        let prompt = prompt.into();
        prompt.validate()?;
        self.sequences.refuse_known(seq)?;
        let mut sequence = self.sequences.spare();
        self.begin(&mut sequence, &prompt);
        let cached_tokens = self.longest_prefix(&mut sequence, &prompt);
        let num_tokens = prompt.tokens.len().min(cached_tokens.saturating_add(prompt.chunk));
        if let Err(error) = self.check_room(cached_tokens, num_tokens) {
            self.sequences.recycle(sequence);
            return Err(error);
        }
        self.fill(&mut sequence, &prompt, cached_tokens, num_tokens);
        self.sequences.insert(seq, sequence);
        self.counters.requests += 1;
        self.counters.query_tokens += prompt.tokens.len() as u64;
        self.counters.hit_tokens += cached_tokens as u64;
        let slots = self.slots(seq, cached_tokens..num_tokens)?;
        Ok(Admission { cached_tokens, slots, loads: &self.moves })
    }

    /// How many leading tokens of a prompt an admission would find now. Changes nothing.
    pub fn num_cached_tokens<'p>(&mut self, prompt: impl Into<Prompt<'p>>) -> Result<usize> {
        let prompt = prompt.into();
        prompt.validate()?;
        let mut sequence = self.sequences.spare();
        self.begin(&mut sequence, &prompt);
        let cached_tokens = self.longest_prefix(&mut sequence, &prompt);
        self.sequences.recycle(sequence);
        Ok(cached_tokens)
    }

    /// Gives an empty sequence the prompt's names for things.
    fn begin(&self, sequence: &mut Sequence, prompt: &Prompt<'_>) {
        let Sequence { tables, chains, extras, lora, .. } = sequence;
        tables.resize_with(self.layout.groups.len(), Default::default);
        if chains.is_empty() {
            let chain = |&(block_size, root)| Chain { block_size, root, keys: Vec::new() };
            chains.extend(self.layout.roots.iter().map(chain));
        }
        for (chain, &(_, root)) in chains.iter_mut().zip(&self.layout.roots) {
            chain.root = key::prompt_root(root, prompt.salt, prompt.lora);
        }
        let owned =
            |(range, key): &(_, &[u8])| Extra { range: Clone::clone(range), key: (*key).into() };
        extras.extend(prompt.extras.iter().map(owned));
        // So that a caller's order makes no difference.
        extras.sort_by(|a, b| (a.range.start, &a.key).cmp(&(b.range.start, &b.key)));
        lora.push_str(prompt.lora);
    }

    fn longest_prefix(&mut self, sequence: &mut Sequence, prompt: &Prompt<'_>) -> usize {
        let looks = self.config.prefix_caching && prompt.shares;
        let max_tokens = if looks { prompt.tokens.len().saturating_sub(1) } else { 0 };
        let Self { lookup, layout, levels, .. } = self;
        lookup.longest_prefix(layout, levels, sequence, prompt.tokens, max_tokens)
    }

    /// Whether there are blocks for what was not found, or is on a tier, or waits among the free.
    fn check_room(&self, cached_tokens: usize, num_tokens: usize) -> Result<()> {
        let device = &self.levels[0].pool;
        let mut needed = 0;
        for (group, found) in self.layout.groups.iter().zip(&self.lookup.found) {
            needed += group.blocks(num_tokens) - group.full_blocks(cached_tokens);
            needed += found
                .iter()
                .filter(|place| {
                    !place.block.is_null()
                        && (place.level > 0 || device.ref_count(place.block) == 0)
                })
                .count();
        }
        let free = device.num_free().saturating_sub(self.config.watermark);
        if needed > free { Err(Error::NoFreeBlocks { needed, free }) } else { Ok(()) }
    }

    /// Gives the sequence the found blocks and new ones up to `num_tokens`.
    fn fill(
        &mut self,
        sequence: &mut Sequence,
        prompt: &Prompt<'_>,
        cached: usize,
        num_tokens: usize,
    ) {
        self.moves.clear();
        // All that is found is held before anything is taken, lest it be evicted for it.
        for place in self.lookup.found.iter().flatten().filter(|place| !place.block.is_null()) {
            self.levels[usize::from(place.level)].pool.retain(place.block);
        }
        for (at, group) in self.layout.groups.iter().enumerate() {
            let table = &mut sequence.tables[at];
            let found = &self.lookup.found[at];
            table.num_skipped = group.skipped_blocks(cached);
            for &from in found {
                if from.level == 0 {
                    table.blocks.push(from.block);
                } else if let Some(block) = self.levels[0].take(&mut self.events) {
                    table.blocks.push(block);
                    self.levels[0].pool.retain(block);
                    let to = Place { level: 0, block };
                    self.in_flight.insert(to, from);
                    self.moves.push(Move { from, to });
                }
            }
            let missing = group.blocks(num_tokens) - table.blocks.len();
            for _ in 0..missing {
                table.blocks.extend(self.levels[0].take(&mut self.events));
            }
        }
        // Keys may have been computed beyond what was found, or not as far for a larger block size.
        sequence.forget(cached);
        sequence.know(&prompt.tokens[..cached]);
        sequence.num_committed = cached;
        sequence.num_tokens = num_tokens;
    }
}
