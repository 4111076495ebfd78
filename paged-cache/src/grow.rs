//! A sequence's life after its admission: it grows, forks, is cut, and goes.

use std::ops::Range;

use crate::cache::PagedCache;
use crate::error::{Error, Result};
use crate::events::EventLog;
use crate::group::Group;
use crate::ids::{BlockCopy, SeqId};
use crate::level::Level;
use crate::sequence::Sequence;
use crate::slots::Slots;

/// What [`PagedCache::append`] set aside.
#[derive(Debug)]
#[non_exhaustive]
pub struct Append<'a> {
    /// Where the new tokens go; of several groups, by the first.
    pub slots: Slots<'a>,
    /// Blocks to copy before anything is written to those slots. Carry out the copies of a step in
    /// the order they were handed out.
    pub copies: &'a [BlockCopy],
}

impl PagedCache {
    /// Gives slots to `n` more tokens of a sequence, and lets go what they no longer look at.
    ///
    /// If the tokens begin in a block that a fork shares, or that is in the prefix index, the
    /// sequence gets a copy of it first: what others may read is never written.
    #[inline]
    pub fn append(&mut self, seq: SeqId, n: usize) -> Result<Append<'_>> {
        let sequence = self.sequences.resident(seq)?;
        let Self { levels, layout, events, copies, .. } = self;
        let positions = make_room(sequence, n, &mut levels[0], &layout.groups, events, copies)?;
        self.counters.copies += copies.len() as u64;
        sequence.num_tokens = positions.end;
        let block_size = layout.groups[0].block_size;
        let slots = Slots::new(&sequence.tables[0].blocks, block_size, positions);
        Ok(Append { slots, copies })
    }

    /// Sets blocks aside for `n` more tokens without adding them: an [append](Self::append) of up to
    /// so many cannot fail then. For tokens that may not come, such as a drafter's. Returns the
    /// copies to be made, as an append does.
    ///
    /// What is in reserve goes back with [`truncate`](Self::truncate) to the present length.
    pub fn reserve(&mut self, seq: SeqId, n: usize) -> Result<&[BlockCopy]> {
        let sequence = self.sequences.resident(seq)?;
        let Self { levels, layout, events, copies, .. } = self;
        make_room(sequence, n, &mut levels[0], &layout.groups, events, copies)?;
        self.counters.copies += copies.len() as u64;
        Ok(copies)
    }

    /// Makes `child` a copy of `parent` that shares all its blocks.
    pub fn fork(&mut self, parent: SeqId, child: SeqId) -> Result<()> {
        self.sequences.refuse_known(child)?;
        self.sequences.resident(parent)?;
        let mut sequence = self.sequences.spare();
        sequence.copy(self.sequences.get(parent)?, &self.layout.groups);
        for table in &sequence.tables {
            for &block in &table.blocks[table.num_skipped..] {
                self.levels[0].pool.retain(block);
            }
        }
        self.sequences.insert(child, sequence);
        Ok(())
    }

    /// Cuts a sequence to its first `num_tokens` tokens and frees the blocks behind them, those in
    /// reserve too. An error if a window has moved past what the next token would look at.
    pub fn truncate(&mut self, seq: SeqId, num_tokens: usize) -> Result<()> {
        let sequence = self.sequences.resident(seq)?;
        if num_tokens > sequence.num_tokens {
            let got = num_tokens;
            return Err(Error::Length { seq, num_tokens: sequence.num_tokens, got });
        }
        for (table, group) in sequence.tables.iter().zip(&self.layout.groups) {
            let needed = group.skipped_blocks(num_tokens)..group.blocks(num_tokens);
            if !needed.is_empty() && needed.start < table.num_skipped {
                let kept_from = table.num_skipped * group.block_size;
                return Err(Error::LetGo { seq, kept_from, got: needed.start * group.block_size });
            }
        }
        for (table, group) in sequence.tables.iter_mut().zip(&self.layout.groups) {
            let num_blocks = group.blocks(num_tokens);
            for block in table.blocks.drain(num_blocks..).rev() {
                self.levels[0].pool.release(block);
            }
            table.num_skipped = table.num_skipped.min(num_blocks);
        }
        sequence.num_tokens = num_tokens;
        sequence.num_committed = sequence.num_committed.min(num_tokens);
        sequence.forget(num_tokens);
        Ok(())
    }

    /// Lets a sequence go. Its blocks are free at once, the full committed ones to be found again
    /// until they are needed: the last of them goes first.
    pub fn free(&mut self, seq: SeqId) -> Result<()> {
        let sequence = self.sequences.remove(seq)?;
        let pool = &mut self.levels[usize::from(sequence.level)].pool;
        for table in &sequence.tables {
            for &block in table.blocks.iter().rev() {
                pool.release(block);
            }
        }
        self.sequences.recycle(sequence);
        Ok(())
    }

    /// Lets a sequence go to make room, to be computed again: like [`free`](Self::free), but counted.
    /// Admit it later with all its tokens; what is not evicted by then is a hit.
    pub fn preempt(&mut self, seq: SeqId) -> Result<()> {
        self.free(seq)?;
        self.counters.preemptions += 1;
        Ok(())
    }
}

/// Makes sure that every group has writable blocks for `n` more tokens; returns their positions.
#[inline]
fn make_room(
    sequence: &mut Sequence,
    n: usize,
    device: &mut Level,
    groups: &[Group],
    events: &mut EventLog,
    copies: &mut Vec<BlockCopy>,
) -> Result<Range<usize>> {
    let start = sequence.num_tokens;
    let end = start.saturating_add(n);
    let (mut needed, mut let_go) = (0_usize, 0);
    for (table, group) in sequence.tables.iter().zip(groups) {
        needed = needed.saturating_add(group.blocks(end).saturating_sub(table.blocks.len()));
        if n > 0 && group.offset(start) > 0 {
            let last = table.blocks[group.full_blocks(start)];
            needed = needed.saturating_add(usize::from(!device.pool.is_writable(last)));
        }
        let skipped = group.skipped_blocks(start);
        if skipped > table.num_skipped {
            let passed = &table.blocks[table.num_skipped..skipped];
            let_go += passed.iter().filter(|&&b| device.pool.ref_count(b) == 1).count();
        }
    }
    let free = device.pool.num_free() + let_go;
    if needed > free {
        return Err(Error::NoFreeBlocks { needed, free });
    }
    copies.clear();
    for (table, group) in sequence.tables.iter_mut().zip(groups) {
        let skipped = group.skipped_blocks(start);
        if skipped > table.num_skipped {
            for block in table.blocks[table.num_skipped..skipped].iter_mut().rev() {
                device.pool.release(std::mem::take(block));
            }
            table.num_skipped = skipped;
        }
    }
    for (table, group) in sequence.tables.iter_mut().zip(groups) {
        if n > 0 && group.offset(start) > 0 {
            let last = &mut table.blocks[group.full_blocks(start)];
            if !device.pool.is_writable(*last)
                && let Some(dst) = device.take(events)
            {
                let src = std::mem::replace(last, dst);
                device.pool.release(src);
                copies.push(BlockCopy { src, dst });
            }
        }
        for _ in table.blocks.len()..group.blocks(end) {
            table.blocks.extend(device.take(events));
        }
    }
    Ok(start..end)
}
