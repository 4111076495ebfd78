//! Blocks to the host and back: gathered into one area of the device, moved in one transfer from or
//! to page-locked memory, and arranged there as [`Backend::swap_out`](crate::Backend::swap_out) has
//! them: a block's K, V and dynamic scales one after the other.

use super::moves::{Places, block_sizes};
use super::{Area, CudaBackend, Upload, lock};
use crate::backend::{KvCache, check_swap};
use crate::cuda::{CudaBuffer, Driver};
use crate::error::Error;

/// Bytes that are moved at a time.
const STAGE: usize = 8 << 20;

/// Page-locked memory.
pub(super) struct Staging<D: Driver> {
    host: D::Pinned,
    bytes: usize,
}

impl<D: Driver> std::fmt::Debug for Staging<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Staging").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl<D: Driver> Staging<D> {
    fn at_least<'a>(
        place: &'a mut Option<Self>,
        driver: &D,
        bytes: usize,
    ) -> Result<&'a mut D::Pinned, Error> {
        if place.as_ref().is_none_or(|staging| staging.bytes < bytes) {
            // The old one is let go first: page-locked memory is scarce.
            *place = None;
            *place = Some(Self { host: driver.pinned(bytes)?, bytes });
        }
        Ok(&mut place.as_mut().expect("just filled").host)
    }
}

/// How many blocks are moved at a time, and where their parts are in the stage: all K, all V, …
fn layout(sizes: [usize; 4], blocks: usize) -> (usize, [usize; 4], usize) {
    let block: usize = sizes.iter().sum();
    let count = (STAGE / block).clamp(1, blocks.max(1));
    let mut at = 0;
    // Blocks are multiples of 32 bytes, and so is the beginning of each part.
    let starts = sizes.map(|size| {
        let start = at;
        at += size * count;
        start
    });
    (count, starts, at)
}

/// Calls `part` with the range in the stage and the range in `blocks` of the host, block after block.
fn arrange(
    sizes: [usize; 4],
    starts: [usize; 4],
    count: usize,
    mut part: impl FnMut(std::ops::Range<usize>, std::ops::Range<usize>),
) {
    let mut host = 0;
    for block in 0..count {
        for (size, start) in sizes.into_iter().zip(starts) {
            let stage = start + block * size;
            part(stage..stage + size, host..host + size);
            host += size;
        }
    }
}

impl<D: Driver> CudaBackend<D> {
    pub(super) fn swap_blocks_out(
        &self,
        cache: &KvCache<CudaBuffer<D::Memory>>,
        blocks: &[u32],
        host: &mut [u8],
    ) -> Result<(), Error> {
        check_swap(&cache.shape, blocks, host.len())?;
        self.check_cache(cache)?;
        let sizes = block_sizes(&cache.shape);
        let (most, starts, bytes) = layout(sizes, blocks.len());
        let mut staging = lock(&self.staging);
        let pinned = Staging::at_least(&mut staging, &self.driver, bytes)?;
        let stage = Area::take(&self.driver, &self.areas, bytes)?;
        let there: Places = starts.map(|at| self.driver.address(stage.memory()) + at as u64);
        let block = cache.shape.block_bytes();
        for (blocks, host) in blocks.chunks(most).zip(host.chunks_mut(most * block)) {
            let mut upload = Upload::default();
            upload.add((0..).zip(blocks).flat_map(|(place, &block)| [block, place]));
            let (_area, pairs) = self.send(&upload)?;
            // SAFETY: `check_swap` found the blocks in the cache; the stage has as many places.
            unsafe { self.copy_pairs(self.places(cache), there, sizes, pairs, blocks.len()) }?;
            let pinned = pinned.as_mut();
            self.driver.read(stage.memory(), 0, &mut pinned[..bytes])?;
            arrange(sizes, starts, blocks.len(), |stage, at| {
                host[at].copy_from_slice(&pinned[stage]);
            });
        }
        Ok(())
    }

    pub(super) fn swap_blocks_in(
        &self,
        cache: &mut KvCache<CudaBuffer<D::Memory>>,
        blocks: &[u32],
        host: &[u8],
    ) -> Result<(), Error> {
        check_swap(&cache.shape, blocks, host.len())?;
        self.check_cache(cache)?;
        let sizes = block_sizes(&cache.shape);
        let (most, starts, bytes) = layout(sizes, blocks.len());
        let mut staging = lock(&self.staging);
        let pinned = Staging::at_least(&mut staging, &self.driver, bytes)?;
        let stage = Area::take(&self.driver, &self.areas, bytes)?;
        let here: Places = starts.map(|at| self.driver.address(stage.memory()) + at as u64);
        let block = cache.shape.block_bytes();
        for (blocks, host) in blocks.chunks(most).zip(host.chunks(most * block)) {
            let to = pinned.as_mut();
            arrange(sizes, starts, blocks.len(), |stage, at| to[stage].copy_from_slice(&host[at]));
            self.driver.write_pinned(stage.memory(), 0, pinned, 0..bytes)?;
            // Of a block that is given twice the last bytes win, as if one came after the other.
            let pairs: Vec<(u32, u32)> = (0..).zip(blocks.iter().copied()).collect();
            let pairs = crate::cuda::waves::last_into(&pairs);
            let mut upload = Upload::default();
            upload.add(pairs.iter().flat_map(|&(place, block)| [place, block]));
            let (_area, at) = self.send(&upload)?;
            // SAFETY: as above.
            unsafe { self.copy_pairs(here, self.places(cache), sizes, at, pairs.len()) }?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_one_place() {
        let sizes = [4096, 2048, 64, 0];
        let (count, starts, bytes) = layout(sizes, 5);
        assert_eq!((count, bytes), (5, 5 * 6208));
        let (mut stages, mut hosts) = (vec![0; bytes], vec![0; bytes]);
        arrange(sizes, starts, 5, |stage, host| {
            stages[stage].iter_mut().for_each(|n| *n += 1);
            hosts[host].iter_mut().for_each(|n| *n += 1);
        });
        assert!(stages.iter().chain(&hosts).all(|&n| n == 1));
        assert_eq!(layout([32 << 20, 0, 0, 0], 9).0, 1, "a block at a time where they are large");
        assert_eq!(layout(sizes, 0).0, 1);
    }
}
