//! Resizing: a pool that grows when memory is found, and shrinks when it is wanted elsewhere.

use std::collections::HashMap;

use crate::cache::PagedCache;
use crate::config;
use crate::error::{Error, Result};
use crate::ids::{BlockCopy, BlockId};

impl PagedCache {
    /// Gives the device `num_blocks` blocks from now on, the null block counted.
    ///
    /// When it shrinks, blocks in use beyond the new end move to free ones before it, for which cached
    /// ones are evicted: the copies to be made, before the memory is given up, are returned, and block
    /// tables have changed. An error if more blocks are in use than remain, or while moves between
    /// levels are under way.
    pub fn resize(&mut self, num_blocks: usize) -> Result<Vec<BlockCopy>> {
        config::check_num_blocks(num_blocks)?;
        if !self.in_flight.is_empty() {
            return Err(Error::MovesInFlight(self.in_flight.len()));
        }
        let device = &mut self.levels[0];
        let in_use = device.pool.num_used();
        if in_use > num_blocks - 1 {
            return Err(Error::NoFreeBlocks { needed: in_use, free: num_blocks - 1 });
        }
        let mut copies = Vec::new();
        if num_blocks >= device.pool.len() {
            device.pool.grow(num_blocks);
        } else {
            let mut evicted = Vec::new();
            let displaced = device.pool.shrink(num_blocks, |block| evicted.push(block));
            device.evictions += evicted.len() as u64;
            for block in evicted {
                device.forget(block, &mut self.events);
            }
            for old in displaced {
                let Some(new) = device.take(&mut self.events) else { break };
                if old.is_cached() {
                    let (key, group) = device.index.entry(old.block);
                    device.index.remove(old.block);
                    device.index.insert(new, &key, group);
                }
                device.pool.rehouse(new, old);
                copies.push(BlockCopy { src: old.block, dst: new });
            }
        }
        if self.config.prefix_caching {
            let pool = &device.pool;
            device.index.resize(num_blocks, pool.touched().filter(|&block| pool.is_cached(block)));
        }
        self.config.num_blocks = num_blocks;
        self.rename(&copies);
        Ok(copies)
    }

    /// Writes the new places of copied blocks wherever the old ones stand.
    fn rename(&mut self, copies: &[BlockCopy]) {
        let new: HashMap<BlockId, BlockId> = copies.iter().map(|c| (c.src, c.dst)).collect();
        if new.is_empty() {
            return;
        }
        let resident = self.sequences.iter_mut().filter(|sequence| sequence.level == 0);
        let tables = resident.flat_map(|sequence| &mut sequence.tables);
        let tables = tables.map(|table| &mut table.blocks);
        for block in tables.chain(self.pins.values_mut()).flatten() {
            if let Some(&place) = new.get(block) {
                *block = place;
            }
        }
    }
}
