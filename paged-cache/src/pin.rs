//! Pins: prefixes that stay, though no sequence uses them. A system prompt, for instance.

use crate::cache::PagedCache;
use crate::error::{Error, Result};
use crate::ids::{PinId, SeqId};

impl PagedCache {
    /// Keeps the blocks of a sequence's first `num_tokens` tokens from eviction, also after the
    /// sequence is gone. Only full blocks: the number is rounded down to those. The tokens must be
    /// committed, and a window must not have passed them.
    ///
    /// A pin is one more holder of each block: pinned blocks count as used.
    pub fn pin(&mut self, seq: SeqId, num_tokens: usize) -> Result<PinId> {
        let sequence = self.sequences.resident(seq)?;
        if num_tokens > sequence.num_committed {
            let (committed, got) = (sequence.num_committed, num_tokens);
            return Err(Error::Length { seq, num_tokens: committed, got });
        }
        let groups = || sequence.tables.iter().zip(&self.layout.groups);
        for (table, group) in groups() {
            let needed = group.skipped_blocks(num_tokens)..group.full_blocks(num_tokens);
            if !needed.is_empty() && needed.start < table.num_skipped {
                let kept_from = table.num_skipped * group.block_size;
                return Err(Error::LetGo { seq, kept_from, got: needed.start * group.block_size });
            }
        }
        let mut blocks = Vec::new();
        for (table, group) in groups() {
            let kept = table.num_skipped.min(group.full_blocks(num_tokens));
            blocks.extend_from_slice(&table.blocks[kept..group.full_blocks(num_tokens)]);
        }
        for &block in &blocks {
            self.levels[0].pool.retain(block);
        }
        self.num_pins += 1;
        let pin = PinId(self.num_pins);
        self.pins.insert(pin, blocks);
        Ok(pin)
    }

    /// Takes a pin back: its blocks are cached like others from now on.
    pub fn unpin(&mut self, pin: PinId) -> Result<()> {
        let blocks = self.pins.remove(&pin).ok_or(Error::UnknownPin(pin))?;
        for &block in blocks.iter().rev() {
            self.levels[0].pool.release(block);
        }
        Ok(())
    }
}
