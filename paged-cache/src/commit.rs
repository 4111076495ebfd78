//! Commit: blocks that are written become blocks that can be hit.

use std::ops::Range;

use crate::cache::PagedCache;
use crate::error::{Error, Result};
use crate::events::{BlockStored, Event, EventLog};
use crate::group::Group;
use crate::ids::SeqId;
use crate::sequence::{Chain, Sequence};

impl PagedCache {
    /// Says that the keys and values of a sequence's next tokens are written, and which tokens they
    /// are. The blocks that are full now can be hit by later admissions.
    ///
    /// Call it after a step for the tokens that were computed in it: not for draft tokens that may be
    /// cut again. Or call it while a step is prepared, if all its writes come before all its reads;
    /// then two prompts of the same step can share. Without it nothing is ever shared, and nothing
    /// else is lost.
    pub fn commit(&mut self, seq: SeqId, tokens: &[u32]) -> Result<()> {
        let sequence = self.sequences.resident(seq)?;
        let got = sequence.num_committed.saturating_add(tokens.len());
        if got > sequence.num_tokens {
            return Err(Error::Length { seq, num_tokens: sequence.num_tokens, got });
        }
        if !self.config.prefix_caching {
            sequence.num_committed = got;
            return Ok(());
        }
        let before = sequence.num_committed;
        let Sequence { tokens: known, chains, extras, .. } = &mut *sequence;
        known.extend_from_slice(tokens);
        for chain in chains {
            chain.extend(known, got / chain.block_size, extras);
        }
        if let Err(error) = self.check_shared(seq, before) {
            let sequence = self.sequences.resident(seq)?;
            sequence.tokens.truncate(before);
            for chain in &mut sequence.chains {
                chain.keys.truncate(before / chain.block_size);
            }
            return Err(error);
        }
        self.sequences.resident(seq)?.num_committed = got;
        for group in 0..self.layout.groups.len() {
            self.remember(seq, group, before, got)?;
        }
        Ok(())
    }

    /// A block that a fork has committed already must have been given the same tokens.
    fn check_shared(&self, seq: SeqId, before: usize) -> Result<()> {
        let sequence = self.sequences.get(seq)?;
        let device = &self.levels[0];
        for (at, group) in self.layout.groups.iter().enumerate() {
            let keys = &sequence.chains[self.layout.chain_of[at]].keys;
            let blocks = sequence.tables[at].blocks.iter().zip(keys).enumerate();
            for (full, (&block, key)) in blocks.skip(group.full_blocks(before)) {
                if device.pool.is_cached(block) && device.index.entry(block).0 != *key {
                    return Err(Error::CommitDiffers { seq, position: full * group.block_size });
                }
            }
        }
        Ok(())
    }

    /// Enters one group's newly full blocks into the index.
    fn remember(&mut self, seq: SeqId, at: usize, before: usize, after: usize) -> Result<()> {
        let Self { sequences, levels, layout, events, config, .. } = self;
        let group = &layout.groups[at];
        let device = &mut levels[0];
        let sequence = sequences.resident(seq)?;
        // Blocks in a row whose keys are new go into one event.
        let mut run = 0..0;
        for full in group.full_blocks(before)..group.full_blocks(after) {
            let chain = &sequence.chains[layout.chain_of[at]];
            let block = &mut sequence.tables[at].blocks[full];
            if block.is_null() || device.pool.is_cached(*block) {
                continue;
            }
            let key = &chain.keys[full];
            if config.deduplicate
                && device.pool.is_writable(*block)
                && let Some(twin) = device.index.find(key, at as u8)
            {
                device.pool.retain(twin);
                device.pool.release(std::mem::replace(block, twin));
                continue;
            }
            if device.remember(*block, key, at as u8) {
                if run.end != full {
                    stored(events, group, at, config.medium, sequence, chain, run);
                    run = full..full;
                }
                run.end = full + 1;
            }
        }
        let chain = &sequence.chains[layout.chain_of[at]];
        stored(events, group, at, config.medium, sequence, chain, run);
        Ok(())
    }
}

/// Tells of a run of new blocks, if there is one.
fn stored(
    events: &mut EventLog,
    group: &Group,
    at: usize,
    medium: &'static str,
    sequence: &Sequence,
    chain: &Chain,
    run: Range<usize>,
) {
    if !run.is_empty() {
        events.push(|| {
            let stored = BlockStored::of_group(group, at, medium);
            Event::BlockStored(stored.with_run(sequence, chain, run))
        });
    }
}
