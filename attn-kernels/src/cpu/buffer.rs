//! A cache's K or V blocks in main memory, and which codes of theirs ask for care.

use std::ops::Range;
use std::sync::atomic::{AtomicU8, Ordering};

use fp8_format::ElementType;

use crate::cpu::care::{Care, PIECE};
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
    /// Per block, piece of up to 16 tokens, and head: at least the [`Care`] that its codes ask for.
    /// Converting codes to numbers is faster where that is none.
    care: Vec<AtomicU8>,
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
        let (stored, block_size) = (shape.stored(side), shape.block_size);
        let mut care = Vec::new();
        care.resize_with(blocks * pieces(block_size) * heads, AtomicU8::default);
        Ok(Self { codes, scales, stored, heads, block_size, care })
    }

    /// The stored codes, block after block.
    pub fn bytes(&self) -> &[u8] {
        self.codes.pool.bytes()
    }

    /// The stored codes, to be filled from elsewhere. Afterwards every block counts as one that may
    /// hold a NaN, and is read a little more slowly.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.care.fill_with(|| AtomicU8::new(Care::Nan as u8));
        self.codes.pool.bytes_mut()
    }

    /// Whether the system accepted the request for huge pages.
    pub fn huge_pages(&self) -> bool {
        self.codes.pool.huge_pages()
    }

    /// What each head's codes ask for, in the piece around `offset` of a block.
    pub(crate) fn care(&self, block: usize, offset: usize) -> impl Iterator<Item = Care> {
        let first = (block * pieces(self.block_size) + offset / PIECE) * self.heads;
        let piece = &self.care[first..first + self.heads];
        piece.iter().map(|care| Care::from_u8(care.load(Ordering::Relaxed)))
    }

    /// A head's dynamic scales in a block, as stored: 4 bytes each, token after token.
    pub(crate) fn scales(&self, block: usize, head: usize) -> Option<&[u8]> {
        let Memory { pool, map } = self.scales.as_ref()?;
        let from = map.at(block, 0, head).start;
        Some(&pool.bytes()[from..from + map.head])
    }

    /// Every head's rows, to be stored in any order or at once.
    pub(crate) fn heads_mut(&mut self) -> impl Iterator<Item = HeadMut<'_>> {
        let Self { codes, scales, stored, heads, block_size, care } = self;
        let (heads, block_size, stored) = (*heads, *block_size, *stored);
        let codes = HeadRows::split(codes.pool.bytes_mut(), codes.map, block_size, heads);
        let none = RowMap { block: 0, token: 0, head: 0, len: 0 };
        let (bytes, map) = match scales {
            Some(Memory { pool, map }) => (pool.bytes_mut(), *map),
            None => (Default::default(), none),
        };
        let scales = HeadRows::split(bytes, map, block_size, heads);
        let care: &[AtomicU8] = care;
        codes.zip(scales).enumerate().map(move |(head, (codes, scales))| HeadMut {
            head,
            heads,
            block_size,
            stored,
            codes,
            scales,
            care,
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
        let (heads, pieces) = (self.heads, pieces(self.block_size));
        let judged = self.care[block * pieces * heads..][..pieces * heads].iter_mut();
        for (index, care) in judged.enumerate() {
            let (first, head) = (index / heads * PIECE, index % heads);
            let tokens = first..(first + PIECE).min(self.block_size);
            let rows = tokens.map(|t| Care::of(self.stored, &codes[self.codes.map.at(0, t, head)]));
            *care.get_mut() = rows.fold(Care::Plain, Care::max) as u8;
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
        let each = pieces(self.block_size) * self.heads;
        for i in 0..each {
            let care = self.care[src * each + i].load(Ordering::Relaxed);
            *self.care[dst * each + i].get_mut() = care;
        }
    }
}

/// One head's rows.
pub(crate) struct HeadMut<'a> {
    pub(crate) head: usize,
    heads: usize,
    block_size: usize,
    stored: ElementType,
    codes: HeadRows<'a>,
    scales: HeadRows<'a>,
    care: &'a [AtomicU8],
}

impl HeadMut<'_> {
    /// Stores one token's row, dividing by `scale`, or by one of its own where scales are dynamic.
    pub(crate) fn store(&mut self, block: usize, offset: usize, row: &[f32], scale: f32) {
        let (codes, own) = (self.codes.row(block, offset), self.scales.row(block, offset));
        crate::element::store(self.stored, row, scale, codes, own);
        let piece = block * pieces(self.block_size) + offset / PIECE;
        let care = &self.care[piece * self.heads + self.head];
        // The last token of a piece: what stood there before is judged no more.
        if (offset + 1).is_multiple_of(PIECE.min(self.block_size)) {
            let (stored, first) = (self.stored, offset / PIECE * PIECE);
            let rows = (first..=offset).map(|t| Care::of(stored, self.codes.row(block, t)));
            care.store(rows.fold(Care::Plain, Care::max) as u8, Ordering::Relaxed);
        } else {
            care.fetch_max(Care::of(self.stored, codes) as u8, Ordering::Relaxed);
        }
    }
}

/// Pieces of a block.
const fn pieces(block_size: usize) -> usize {
    block_size.div_ceil(PIECE)
}
