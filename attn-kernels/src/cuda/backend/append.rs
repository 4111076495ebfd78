//! Storing K and V, and what their largest magnitudes are.

use super::{CudaBackend, WARPS, grid_of, lock};
use crate::backend::{KvCache, check_append};
use crate::cuda::argument::Argument;
use crate::cuda::names::element_number;
use crate::cuda::waves::last_wins;
use crate::cuda::{CudaBuffer, CudaTensor, Driver};
use crate::error::Error;
use crate::observe::HeadAbsmax;
use crate::scales::LayerScales;
use crate::shape::Side;

impl<D: Driver> CudaBackend<D> {
    /// Stores K and V; `absmax` is where the bits of the largest magnitudes go, K's heads then V's.
    pub(super) fn store(
        &self,
        cache: &mut KvCache<CudaBuffer<D::Memory>>,
        scales: &LayerScales,
        [k, v]: [&CudaTensor<D::Memory>; 2],
        slots: &[i64],
        absmax: Option<u64>,
    ) -> Result<(), Error> {
        let shape = &cache.shape;
        self.check_store(cache, scales, [k, v], slots)?;
        if slots.is_empty() {
            return Ok(());
        }
        let heads = shape.num_kv_heads;
        let _order = lock(&self.order);
        let given = [self.given(cache, scales, Side::K)?, self.given(cache, scales, Side::V)?];
        let placed = self.slots.place(&self.driver, slots.len(), |i| slots[i], slot_bytes)?;
        let mut argument = Argument::new();
        for (from, side, index) in [(k, Side::K, 0), (v, Side::V, 1)] {
            let (buffer, codes) = (cache.buffer(side), shape.codes(side));
            argument = argument
                .u64(self.address(from))
                .u64(self.driver.address(&buffer.memory))
                .u64(given[index].at)
                .u64(self.scales_address(buffer))
                .u64(absmax.map_or(0, |at| at + (index * 4 * heads) as u64))
                .u64(codes.block as u64)
                .count(codes.token)
                .count(codes.head)
                .u32(element_number(shape.stored(side))?)
                .u32(0);
        }
        let argument = argument
            .u64(placed.at)
            .u64(0)
            .u64(0)
            .count(heads * shape.block_size)
            .u32(1)
            .count(shape.block_size)
            .u32(shape.block_size.trailing_zeros())
            .count(slots.len())
            .count(heads)
            .count(shape.head_dim);
        let ctas = grid_of((slots.len() * heads).div_ceil(WARPS))?;
        // SAFETY: `check_append` compared the lengths of K and V with the slots, and the slots with the
        // cache; scales are one per head, and the lists stay where they are while `given` and `placed`
        // are there. `absmax`, of the caller below, has room for the heads of both sides.
        unsafe { self.launch("append", "append_kv", [ctas, 2, 1], 0, &argument.finish()) }
    }

    fn check_store(
        &self,
        cache: &KvCache<CudaBuffer<D::Memory>>,
        scales: &LayerScales,
        [k, v]: [&CudaTensor<D::Memory>; 2],
        slots: &[i64],
    ) -> Result<(), Error> {
        check_append(&cache.shape, scales, k.len, v.len, slots)?;
        self.check_cache(cache)?;
        self.check_owned([("k", &*k.memory), ("v", &*v.memory)])?;
        k.require_f32("k")?;
        v.require_f32("v")
    }

    /// The same, and raises `seen`.
    pub(super) fn store_observed(
        &self,
        cache: &mut KvCache<CudaBuffer<D::Memory>>,
        scales: &LayerScales,
        sides: [&CudaTensor<D::Memory>; 2],
        slots: &[i64],
        seen: &mut HeadAbsmax,
    ) -> Result<(), Error> {
        let heads = cache.shape.num_kv_heads;
        seen.validate(heads)?;
        // Before anything is sent.
        self.check_store(cache, scales, sides, slots)?;
        if slots.is_empty() {
            return Ok(());
        }
        let mut upload = super::Upload::default();
        upload.add(std::iter::repeat_n(0, 2 * heads));
        let (area, base) = self.send(&upload)?;
        self.store(cache, scales, sides, slots, Some(base))?;
        let mut bytes = vec![0; 2 * heads * 4];
        self.driver.read(area.memory(), 0, &mut bytes)?;
        let found = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b));
        for (seen, found) in seen.k.iter_mut().chain(seen.v.iter_mut()).zip(found) {
            // NaN wins over everything, and stays.
            if found.is_nan() || found > *seen {
                *seen = found;
            }
        }
        Ok(())
    }
}

/// Slots as the kernel takes them: warps keep no order, so that of a slot given twice only the last
/// token is left.
fn slot_bytes(slots: &[i64]) -> Vec<u8> {
    last_wins(slots).into_iter().flat_map(i64::to_le_bytes).collect()
}
