//! Preemption by swap: a sequence's blocks go to the first tier, and come back.

use crate::cache::PagedCache;
use crate::error::{Error, Result};
use crate::ids::SeqId;
use crate::moves::{Move, Place};

impl PagedCache {
    /// Moves a sequence to the first tier, partly filled blocks and all, and frees its blocks on the
    /// device as the moves finish. Blocks in reserve go back, and what the tier holds already is not
    /// moved. The moves in must be over. Until [`swap_in`](Self::swap_in) the sequence can only be freed.
    pub fn swap_out(&mut self, seq: SeqId) -> Result<&[Move]> {
        let sequence = self.sequences.resident(seq)?;
        let [device, tier, ..] = &mut self.levels[..] else { return Err(Error::NoTier(0)) };
        let mut found = Vec::new();
        let mut needed = 0;
        let mut arriving = 0;
        for (table, group) in sequence.tables.iter().zip(&self.layout.groups) {
            for &block in &table.blocks[table.num_skipped..group.blocks(sequence.num_tokens)] {
                arriving += usize::from(self.in_flight.contains_key(&Place { level: 0, block }));
                let entry = device.pool.is_cached(block).then(|| device.index.entry(block));
                let twin = entry.and_then(|(key, group)| tier.index.find(&key, group));
                needed += usize::from(twin.is_none_or(|twin| tier.pool.ref_count(twin) == 0));
                found.push(twin);
            }
        }
        if arriving > 0 {
            return Err(Error::MovesInFlight(arriving));
        }
        let free = tier.pool.num_free();
        if needed > free {
            return Err(Error::NoFreeBlocks { needed, free });
        }
        for (table, group) in sequence.tables.iter_mut().zip(&self.layout.groups) {
            for block in table.blocks.drain(group.blocks(sequence.num_tokens)..) {
                device.pool.release(block);
            }
        }
        // What is there already is held before anything is taken, lest it be evicted for it.
        for &twin in found.iter().flatten() {
            tier.pool.retain(twin);
        }
        let mut found = found.into_iter();
        self.moves.clear();
        for table in &mut sequence.tables {
            for block in &mut table.blocks[table.num_skipped..] {
                if let Some(twin) = found.next().flatten() {
                    device.pool.release(std::mem::replace(block, twin));
                } else if let Some(room) = tier.take(&mut self.events) {
                    // The sequence's hold on the source becomes the move's.
                    tier.pool.retain(room);
                    let from = Place { level: 0, block: std::mem::replace(block, room) };
                    let to = Place { level: 1, block: room };
                    self.in_flight.insert(to, from);
                    self.moves.push(Move { from, to });
                }
            }
        }
        sequence.level = 1;
        self.counters.preemptions += 1;
        Ok(&self.moves)
    }

    /// Brings a swapped-out sequence back. Full blocks that are still on the device, or again, are
    /// shared; the others are moved, before the sequence is computed on. The moves out must be over.
    pub fn swap_in(&mut self, seq: SeqId) -> Result<&[Move]> {
        let sequence = self.sequences.swapped(seq)?;
        let [device, tier, ..] = &mut self.levels[..] else { return Err(Error::NoTier(0)) };
        let layout = &self.layout;
        let mut found = Vec::new();
        let mut needed = 0;
        let mut leaving = 0;
        for (at, table) in sequence.tables.iter().enumerate() {
            let keys = &sequence.chains[layout.chain_of[at]].keys;
            for (number, &block) in table.blocks.iter().enumerate().skip(table.num_skipped) {
                leaving += usize::from(self.in_flight.contains_key(&Place { level: 1, block }));
                let twin = keys.get(number).and_then(|key| device.index.find(key, at as u8));
                needed += usize::from(twin.is_none_or(|twin| device.pool.ref_count(twin) == 0));
                found.push(twin);
            }
        }
        if leaving > 0 {
            return Err(Error::MovesInFlight(leaving));
        }
        let free = device.pool.num_free();
        if needed > free {
            return Err(Error::NoFreeBlocks { needed, free });
        }
        for &twin in found.iter().flatten() {
            device.pool.retain(twin);
        }
        let mut found = found.into_iter();
        self.moves.clear();
        for table in &mut sequence.tables {
            for block in &mut table.blocks[table.num_skipped..] {
                if let Some(twin) = found.next().flatten() {
                    tier.pool.release(std::mem::replace(block, twin));
                } else if let Some(room) = device.take(&mut self.events) {
                    device.pool.retain(room);
                    let from = Place { level: 1, block: std::mem::replace(block, room) };
                    let to = Place { level: 0, block: room };
                    self.in_flight.insert(to, from);
                    self.moves.push(Move { from, to });
                }
            }
        }
        sequence.level = 0;
        Ok(&self.moves)
    }
}
