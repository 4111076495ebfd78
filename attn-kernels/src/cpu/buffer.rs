//! A cache's K or V blocks in main memory, and which of them may hold a NaN.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use fp8_format::ElementType;

use crate::error::Error;
use crate::mem::{HeadRows, Pool};
use crate::observe::MemoryStats;
use crate::shape::{CacheShape, RowMap, Side};

/// K or V blocks in main memory: aligned, on huge pages where the system grants them.
#[derive(Debug)]
pub struct CpuBuffer {
    codes: Memory,
    /// Dynamic scales.
    scales: Option<Memory>,
    stored: ElementType,
    heads: usize,
    block_size: usize,
    /// Per block and head: whether an FP8 NaN was ever stored there. Converting codes to numbers
    /// is faster where none was.
    suspect: Vec<AtomicBool>,
}

#[derive(Debug)]
struct Memory {
    pool: Pool,
    map: RowMap,
}

impl Memory {
    fn new(num_blocks: usize, map: RowMap) -> Result<Self, Error> {
        Ok(Self { pool: Pool::new(num_blocks * map.block)?, map })
    }

    fn block(&self, block: usize) -> Range<usize> {
        block * self.map.block..(block + 1) * self.map.block
    }

    fn copy_block(&mut self, src: usize, dst: usize) {
        let (src, dst) = (self.block(src), self.block(dst));
        self.pool.bytes_mut().copy_within(src, dst.start);
    }
}

impl CpuBuffer {
    pub(crate) fn new(shape: &CacheShape, side: Side) -> Result<Self, Error> {
        let (heads, blocks) = (shape.num_kv_heads, shape.num_blocks);
        let codes = Memory::new(blocks, shape.codes(side))?;
        let scales = match shape.per_token_head(side) {
            true => Some(Memory::new(blocks, shape.scales(side))?),
            false => None,
        };
        let mut suspect = Vec::new();
        suspect.resize_with(blocks * heads, AtomicBool::default);
        let (stored, block_size) = (shape.stored(side), shape.block_size);
        Ok(Self { codes, scales, stored, heads, block_size, suspect })
    }

    /// The stored codes, block after block.
    pub fn bytes(&self) -> &[u8] {
        self.codes.pool.bytes()
    }

    /// The stored codes, to be filled from elsewhere. Afterwards every block counts as one that may
    /// hold a NaN, and is read a little more slowly.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.suspect.fill_with(|| AtomicBool::new(true));
        self.codes.pool.bytes_mut()
    }

    /// Whether the system accepted the request for huge pages.
    pub fn huge_pages(&self) -> bool {
        self.codes.pool.huge_pages()
    }

    /// Of each head in the block.
    pub(crate) fn suspect(&self, block: usize) -> &[AtomicBool] {
        &self.suspect[block * self.heads..(block + 1) * self.heads]
    }

    /// A head's dynamic scales in a block, as stored: 4 bytes each, token after token.
    pub(crate) fn scales(&self, block: usize, head: usize) -> Option<&[u8]> {
        let Memory { pool, map } = self.scales.as_ref()?;
        let from = map.at(block, 0, head).start;
        Some(&pool.bytes()[from..from + map.head])
    }

    /// Every head's rows, to be stored in any order or at once.
    pub(crate) fn heads_mut(&mut self) -> impl Iterator<Item = HeadMut<'_>> {
        let Self { codes, scales, stored, heads, block_size, suspect } = self;
        let (heads, block_size, stored) = (*heads, *block_size, *stored);
        let codes = HeadRows::split(codes.pool.bytes_mut(), codes.map, block_size, heads);
        let none = RowMap { block: 0, token: 0, head: 0, len: 0 };
        let (bytes, map) = match scales {
            Some(Memory { pool, map }) => (pool.bytes_mut(), *map),
            None => (Default::default(), none),
        };
        let scales = HeadRows::split(bytes, map, block_size, heads);
        let suspect: &[AtomicBool] = suspect;
        codes.zip(scales).enumerate().map(move |(head, (codes, scales))| HeadMut {
            head,
            heads,
            stored,
            codes,
            scales,
            suspect,
        })
    }

    /// A block's codes, and its dynamic scales.
    pub(crate) fn block(&self, block: usize) -> [&[u8]; 2] {
        let scales = self.scales.as_ref().map_or(&[][..], |s| &s.pool.bytes()[s.block(block)]);
        [&self.codes.pool.bytes()[self.codes.block(block)], scales]
    }

    /// What one token has of one head: its codes and, where scales are dynamic, its scale.
    pub(crate) fn row(&self, block: usize, offset: usize, head: usize) -> (&[u8], Option<f32>) {
        let codes = &self.codes.pool.bytes()[self.codes.map.at(block, offset, head)];
        let scale = |s: &Memory| s.pool.bytes()[s.map.at(block, offset, head)].try_into().ok();
        (codes, self.scales.as_ref().and_then(scale).map(f32::from_le_bytes))
    }

    /// Fills a block with what [`block`](Self::block) gave.
    pub(crate) fn set_block(&mut self, block: usize, [codes, scales]: [&[u8]; 2]) {
        for (head, suspect) in
            self.suspect[block * self.heads..].iter_mut().take(self.heads).enumerate()
        {
            let rows =
                (0..self.block_size).map(|offset| &codes[self.codes.map.at(0, offset, head)]);
            *suspect.get_mut() = rows.fold(false, |found, row| found | has_nan(self.stored, row));
        }
        let at = self.codes.block(block);
        self.codes.pool.bytes_mut()[at].copy_from_slice(codes);
        if let Some(memory) = &mut self.scales {
            let at = memory.block(block);
            memory.pool.bytes_mut()[at].copy_from_slice(scales);
        }
    }

    /// Bytes, those on huge pages among them, and whether these were promised.
    pub(crate) fn memory_stats(&self) -> MemoryStats {
        let pools = || [Some(&self.codes), self.scales.as_ref()].into_iter().flatten();
        MemoryStats {
            bytes: pools().map(|m| m.pool.bytes().len()).sum(),
            huge_pages: self.huge_pages(),
            huge_bytes: pools().map(|m| m.pool.huge_bytes()).sum(),
        }
    }

    pub(crate) fn copy_block(&mut self, src: usize, dst: usize) {
        self.codes.copy_block(src, dst);
        if let Some(scales) = &mut self.scales {
            scales.copy_block(src, dst);
        }
        for head in 0..self.heads {
            let suspect = self.suspect[src * self.heads + head].load(Ordering::Relaxed);
            *self.suspect[dst * self.heads + head].get_mut() = suspect;
        }
    }
}

/// One head's rows.
pub(crate) struct HeadMut<'a> {
    pub(crate) head: usize,
    heads: usize,
    stored: ElementType,
    codes: HeadRows<'a>,
    scales: HeadRows<'a>,
    suspect: &'a [AtomicBool],
}

impl HeadMut<'_> {
    /// Stores one token's row, dividing by `scale`, or by one of its own where scales are dynamic.
    pub(crate) fn store(&mut self, block: usize, offset: usize, row: &[f32], scale: f32) {
        let (codes, own) = (self.codes.row(block, offset), self.scales.row(block, offset));
        crate::element::store(self.stored, row, scale, codes, own);
        if has_nan(self.stored, codes) {
            self.suspect[block * self.heads + self.head].store(true, Ordering::Relaxed);
        }
    }
}

/// Whether codes hold a NaN that must be looked for when they are read.
fn has_nan(stored: ElementType, codes: &[u8]) -> bool {
    match stored {
        ElementType::F8E4M3 => any(codes, |c| c & 0x7f == 0x7f),
        ElementType::F8E4M3Fnuz | ElementType::F8E5M2Fnuz => any(codes, |c| c == 0x80),
        // NaN needs no care in these: the hardware's conversions know it, or there is none.
        _ => false,
    }
}

/// Without an early exit, so that it compiles to SIMD.
fn any(codes: &[u8], test: impl Fn(u8) -> bool) -> bool {
    codes.iter().fold(false, |found, &c| found | test(c))
}
