//! Blocks that are copied, and tokens that are read back as numbers.

use std::ops::Range;

use super::{CudaBackend, Upload, WARPS, grid_of, lock};
use crate::backend::{KvCache, check_copies, check_gather};
use crate::cuda::argument::Argument;
use crate::cuda::names::{MAX_GRID_Y, element_number};
use crate::cuda::waves::{last_into, waves};
use crate::cuda::{CudaBuffer, CudaTensor, Driver};
use crate::error::Error;
use crate::scales::LayerScales;
use crate::shape::{CacheShape, Side};

/// Bytes that one CTA of a copy moves per round, and rounds.
const COPY_PIECE: usize = 128 * 16 * 4;

/// Where K, V and their dynamic scales are, all in blocks: 0 where there is none.
pub(super) type Places = [u64; 4];

/// Bytes of a block of each.
pub(super) fn block_sizes(shape: &CacheShape) -> [usize; 4] {
    let [k, v] = [Side::K, Side::V];
    [shape.codes(k).block, shape.codes(v).block, shape.scales(k).block, shape.scales(v).block]
}

impl<D: Driver> CudaBackend<D> {
    /// Where a cache's blocks are.
    pub(super) fn places(&self, cache: &KvCache<CudaBuffer<D::Memory>>) -> Places {
        let (k, v) = (&cache.k, &cache.v);
        let [at_k, at_v] = [k, v].map(|buffer| self.driver.address(&buffer.memory));
        [at_k, at_v, self.scales_address(k), self.scales_address(v)]
    }

    /// Starts copies that may run in any order, `pairs` of the device's `[copies][2]`.
    ///
    /// # Safety
    ///
    /// There are so many pairs at `pairs`, and at `from` and `to` the blocks that they name, of these
    /// sizes.
    pub(super) unsafe fn copy_pairs(
        &self,
        from: Places,
        to: Places,
        sizes: [usize; 4],
        pairs: u64,
        copies: usize,
    ) -> Result<(), Error> {
        // Codes of K and V in one launch, dynamic scales of K and V in another.
        for at in [0, 2] {
            let (k, v) = (sizes[at], sizes[at + 1]);
            let most = k.max(v);
            if most == 0 {
                continue;
            }
            for first in (0..copies).step_by(MAX_GRID_Y) {
                let argument = Argument::new()
                    .u64(from[at])
                    .u64(from[at + 1])
                    .u64(to[at])
                    .u64(to[at + 1])
                    .u64(k as u64)
                    .u64(v as u64)
                    .u64(pairs + 8 * first as u64);
                let count = grid_of(MAX_GRID_Y.min(copies - first))?;
                let grid = [grid_of(most.div_ceil(COPY_PIECE))?, count, 2];
                // SAFETY: the caller's promise; a launch takes its part of the pairs.
                unsafe { self.launch("copy_blocks", "copy_blocks", grid, 0, &argument.finish()) }?;
            }
        }
        Ok(())
    }

    pub(super) fn copy_within(
        &self,
        cache: &mut KvCache<CudaBuffer<D::Memory>>,
        copies: &[(u32, u32)],
    ) -> Result<(), Error> {
        let shape = &cache.shape;
        check_copies(shape, shape, copies)?;
        self.check_cache(cache)?;
        if copies.is_empty() {
            return Ok(());
        }
        let (places, sizes) = (self.places(cache), block_sizes(shape));
        let mut upload = Upload::default();
        upload.add(copies.iter().flat_map(|&(src, dst)| [src, dst]));
        let (_area, mut pairs) = self.send(&upload)?;
        for wave in waves(copies) {
            // SAFETY: `check_copies` found them in the cache, and its waves are as many pairs.
            unsafe { self.copy_pairs(places, places, sizes, pairs, wave.len()) }?;
            pairs += 8 * wave.len() as u64;
        }
        Ok(())
    }

    pub(super) fn copy_from(
        &self,
        cache: &mut KvCache<CudaBuffer<D::Memory>>,
        source: &KvCache<CudaBuffer<D::Memory>>,
        copies: &[(u32, u32)],
    ) -> Result<(), Error> {
        check_copies(&cache.shape, &source.shape, copies)?;
        self.check_cache(cache)?;
        self.check_owned([("the source", &source.k.memory)])?;
        let copies = last_into(copies);
        if copies.is_empty() {
            return Ok(());
        }
        let mut upload = Upload::default();
        upload.add(copies.iter().flat_map(|&(src, dst)| [src, dst]));
        let (_area, pairs) = self.send(&upload)?;
        let sizes = block_sizes(&cache.shape);
        let (from, to) = (self.places(source), self.places(cache));
        // SAFETY: `check_copies` found the blocks in caches of one layout.
        unsafe { self.copy_pairs(from, to, sizes, pairs, copies.len()) }
    }

    pub(super) fn read_back(
        &self,
        cache: &KvCache<CudaBuffer<D::Memory>>,
        scales: &LayerScales,
        block_table: &[u32],
        tokens: Range<usize>,
        [k, v]: [&CudaTensor<D::Memory>; 2],
    ) -> Result<(), Error> {
        let shape = &cache.shape;
        check_gather(shape, scales, block_table, &tokens, k.len, v.len)?;
        self.check_cache(cache)?;
        self.check_owned([("k", &*k.memory), ("v", &*v.memory)])?;
        k.require_f32("k")?;
        v.require_f32("v")?;
        let (heads, d, count) = (shape.num_kv_heads, shape.head_dim, tokens.len());
        if count == 0 {
            return Ok(());
        }
        let mut upload = Upload::default();
        let table = &block_table[..tokens.end.div_ceil(shape.block_size)];
        upload.add(table.iter().copied());
        let (_area, at_table) = self.send(&upload)?;
        let _order = lock(&self.order);
        for (out, side) in [(k, Side::K), (v, Side::V)] {
            let (buffer, codes) = (cache.buffer(side), shape.codes(side));
            let given = self.given(cache, scales, side)?;
            let argument = Argument::new()
                .u64(self.driver.address(&buffer.memory))
                .u64(given.at)
                .u64(self.scales_address(buffer))
                .u64(at_table)
                .u64(self.address(out))
                .u64(codes.block as u64)
                .count(codes.token)
                .count(codes.head)
                .count(heads * shape.block_size)
                .u32(1)
                .count(shape.block_size)
                .u32(shape.block_size.trailing_zeros())
                .count(tokens.start)
                .count(count)
                .count(heads)
                .count(d)
                .u32(element_number(shape.stored(side))?);
            let ctas = grid_of((count * heads).div_ceil(WARPS))?;
            // SAFETY: `check_gather` compared the table with the cache and with the tokens, and the
            // lengths of `k` and `v` with the tokens; the scales, one per head, stay with `given`.
            unsafe { self.launch("gather", "gather_kv", [ctas, 1, 1], 0, &argument.finish()) }?;
        }
        Ok(())
    }
}
