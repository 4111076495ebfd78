//! Moves between the device and the tiers below it.
//!
//! The cache decides which block goes where and hands out [`Move`]s; the caller carries them out, at
//! once or by and by, and reports each as [finished](PagedCache::finish) or [failed](PagedCache::fail).
//! Until then both ends are held: nobody writes the source or takes the destination.

use std::fmt;

use crate::cache::PagedCache;
use crate::error::{Error, Result};
use crate::events::{BlockStored, Event};
use crate::ids::BlockId;

/// A block on a level: 0 is the device, 1 the first tier, and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The level.
    pub level: u8,
    /// The block, by the level's own count.
    pub block: BlockId,
}

impl From<BlockId> for Place {
    /// The block on the device.
    fn from(block: BlockId) -> Self {
        Self { level: 0, block }
    }
}

/// One block to be copied from one level to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Move {
    /// The block to read.
    pub from: Place,
    /// The block to write.
    pub to: Place,
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to } = self;
        write!(f, "the move of block {} on level {}", from.block, from.level)?;
        write!(f, " to block {} on level {}", to.block, to.level)
    }
}

impl PagedCache {
    /// Picks blocks of a level to be copied to the one below: those among the `max` that would be
    /// evicted next which are not below already. They stay where they are too, until their turn comes.
    /// An admission finds them on the tier afterwards.
    ///
    /// Called with a small `max` at every step, it keeps ahead of eviction.
    pub fn offload(&mut self, level: usize, max: usize) -> Result<&[Move]> {
        if level + 1 >= self.levels.len() {
            return Err(Error::NoTier(level));
        }
        self.moves.clear();
        let (upper, lower) = self.levels.split_at_mut(level + 1);
        let (upper, lower) = (&mut upper[level], &mut lower[0]);
        for block in upper.pool.coldest().take(max) {
            let (key, group) = upper.index.entry(block);
            if lower.index.find(&key, group).is_none() {
                let Some(room) = lower.take(&mut self.events) else { break };
                let from = Place { level: level as u8, block };
                self.moves.push(Move { from, to: Place { level: level as u8 + 1, block: room } });
            }
        }
        for Move { from, to } in &self.moves {
            upper.pool.retain(from.block);
            self.in_flight.insert(*to, *from);
        }
        Ok(&self.moves)
    }

    /// Reports a move as done: what it carried can be hit at its destination.
    pub fn finish(&mut self, done: Move) -> Result<()> {
        self.end(done)?;
        let Move { from, to } = done;
        let source = &self.levels[usize::from(from.level)];
        if source.pool.is_cached(from.block) {
            let (key, group) = source.index.entry(from.block);
            let target = &mut self.levels[usize::from(to.level)];
            if target.remember(to.block, &key, group) {
                let medium = target.medium;
                let group = usize::from(group);
                self.events.push(|| {
                    let mut stored =
                        BlockStored::of_group(&self.layout.groups[group], group, medium);
                    stored.block_hashes.push(key);
                    Event::BlockStored(stored)
                });
            }
        }
        self.let_go(done);
        Ok(())
    }

    /// Reports a move as failed: its destination holds nothing. If that was a block of a sequence,
    /// brought in by an admission or a swap, the caller frees the sequence and begins again.
    pub fn fail(&mut self, failed: Move) -> Result<()> {
        self.end(failed)?;
        self.let_go(failed);
        Ok(())
    }

    /// The moves handed out and not reported yet.
    pub fn num_moves_in_flight(&self) -> usize {
        self.in_flight.len()
    }

    fn end(&mut self, ended: Move) -> Result<()> {
        if self.in_flight.get(&ended.to) != Some(&ended.from) {
            return Err(Error::UnknownMove(ended));
        }
        self.in_flight.remove(&ended.to);
        Ok(())
    }

    fn let_go(&mut self, Move { from, to }: Move) {
        self.levels[usize::from(to.level)].pool.release(to.block);
        let source = &mut self.levels[usize::from(from.level)].pool;
        if from.level < to.level {
            // It was moved because it is cold, or because its sequence left: it goes first now.
            source.release_cold(from.block);
        } else {
            source.release(from.block);
        }
    }
}
