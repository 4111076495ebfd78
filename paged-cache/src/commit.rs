//! Commit: blocks that are written become blocks that can be hit.

use std::ops::Range;

use crate::cache::{Layout, PagedCache};
use crate::error::{Error, Result};
use crate::events::{BlockStored, Event, EventLog};
use crate::group::Group;
use crate::ids::SeqId;
use crate::level::Level;
use crate::sequence::Sequence;

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
        let before = sequence.num_committed;
        let after = before.saturating_add(tokens.len());
        if after > sequence.num_tokens {
            return Err(Error::Length { seq, num_tokens: sequence.num_tokens, got: after });
        }
        if !self.config.prefix_caching {
            sequence.num_committed = after;
            return Ok(());
        }
        let device = &mut self.levels[0];
        sequence.know(tokens);
        if let Some(position) = first_difference(sequence, device, &self.layout, before) {
            sequence.forget(before);
            return Err(Error::CommitDiffers { seq, position });
        }
        sequence.num_committed = after;
        let events = &mut self.events;
        let mut new = Newly { sequence, device, events, deduplicate: self.config.deduplicate };
        for (at, group) in self.layout.groups.iter().enumerate() {
            let full = group.full_blocks(before)..group.full_blocks(after);
            new.remember(group, at, self.layout.chain_of[at], full);
        }
        Ok(())
    }
}

/// A block that a fork has committed already must have been given the same tokens: the first position
/// of one that was not.
fn first_difference(
    sequence: &Sequence,
    device: &Level,
    layout: &Layout,
    before: usize,
) -> Option<usize> {
    layout.groups.iter().enumerate().find_map(|(at, group)| {
        let keys = &sequence.chains[layout.chain_of[at]].keys;
        let blocks = sequence.tables[at].blocks.iter().zip(keys).enumerate();
        let mut differs = blocks.skip(group.full_blocks(before)).filter(|(_, (block, key))| {
            device.pool.is_cached(**block) && device.index.entry(**block).0 != **key
        });
        differs.next().map(|(full, _)| full * group.block_size)
    })
}

/// A commit's second half, after which nothing can fail.
struct Newly<'a> {
    sequence: &'a mut Sequence,
    device: &'a mut Level,
    events: &'a mut EventLog,
    deduplicate: bool,
}

impl Newly<'_> {
    /// Enters the blocks `full` of one group into the index.
    fn remember(&mut self, group: &Group, at: usize, chain: usize, full: Range<usize>) {
        // Blocks in a row whose keys are new go into one event.
        let mut run = full.start..full.start;
        for number in full {
            let block = &mut self.sequence.tables[at].blocks[number];
            if block.is_null() || self.device.pool.is_cached(*block) {
                continue;
            }
            let key = &self.sequence.chains[chain].keys[number];
            if self.deduplicate
                && self.device.pool.is_writable(*block)
                && let Some(twin) = self.device.index.find(key, at as u8)
            {
                self.device.pool.retain(twin);
                self.device.pool.release(std::mem::replace(block, twin));
                continue;
            }
            if self.device.remember(*block, key, at as u8) {
                if run.end != number {
                    self.tell(group, at, chain, run);
                    run = number..number;
                }
                run.end = number + 1;
            }
        }
        self.tell(group, at, chain, run);
    }

    /// Tells of a run of new blocks, if there is one.
    fn tell(&mut self, group: &Group, at: usize, chain: usize, run: Range<usize>) {
        if !run.is_empty() {
            let Self { sequence, device, .. } = self;
            self.events.push(|| {
                let stored = BlockStored::of_group(group, at, device.medium);
                Event::BlockStored(stored.with_run(sequence, &sequence.chains[chain], run))
            });
        }
    }
}
