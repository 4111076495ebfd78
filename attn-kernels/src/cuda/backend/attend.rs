//! Attention: launches alone, of what the plan has on the device already.

use super::{CudaBackend, grid_of, lock};
use crate::backend::KvCache;
use crate::cuda::argument::Argument;
use crate::cuda::names::unsupported;
use crate::cuda::{CudaBuffer, CudaTensor, Driver};
use crate::error::Error;
use crate::math::default_prob_scale;
use crate::plan::Plan;
use crate::scales::LayerScales;
use crate::shape::Side;

impl<D: Driver> CudaBackend<D> {
    /// The calls' addresses, and the launches.
    pub(super) fn attend(
        &self,
        plan: &Plan,
        cache: &KvCache<CudaBuffer<D::Memory>>,
        scales: &LayerScales,
        q: &CudaTensor<D::Memory>,
        out: &CudaTensor<D::Memory>,
        lse: Option<&CudaTensor<D::Memory>>,
    ) -> Result<(), Error> {
        plan.check_call(&cache.shape, q.len, out.len, lse.map(|l| l.len))?;
        self.check_cache(cache)?;
        self.check_owned([("q", &*q.memory), ("out", &*out.memory)])?;
        self.check_owned(lse.map(|lse| ("lse", &*lse.memory)))?;
        q.require_f32("q")?;
        out.require_f32("out")?;
        lse.map_or(Ok(()), |lse| lse.require_f32("lse"))?;
        scales.validate(&cache.shape, Some(plan.attention().num_heads))?;
        // A plan of another backend has not been cut up and sent.
        let made;
        let placed = match self.placed(plan) {
            Some(placed) => placed,
            None => {
                made = self.place(plan)?;
                &made
            }
        };
        let (shape, attention) = (&cache.shape, plan.attention());
        let (heads, variant, work) = (shape.num_kv_heads, &attention.variant, &placed.work);
        let _order = lock(&self.order);
        let given_k = self.given(cache, scales, Side::K)?;
        let given_v = self.given(cache, scales, Side::V)?;
        let given_q = match attention.math.uses_q_scale() {
            true => {
                let of = |head| scales.q.get(head);
                Some(cache.k.q.place_floats(&self.driver, attention.num_heads, of)?)
            }
            false => None,
        };
        let prob = match attention.math.uses_prob_scale() {
            true => scales.prob.unwrap_or(default_prob_scale(shape.v_type)),
            false => 0.0,
        };
        let states = placed.states.as_ref().map_or(0, |states| self.driver.address(states));
        let [k_codes, v_codes] = [Side::K, Side::V].map(|side| shape.codes(side));
        let argument = |tasks: u64| {
            Argument::new()
                .u64(self.address(q))
                .u64(self.address(out))
                .u64(lse.map_or(0, |lse| self.address(lse)))
                .u64(states)
                .u64(states + (work.states * shape.head_dim * 4) as u64)
                .u64(self.driver.address(&cache.k.memory))
                .u64(self.driver.address(&cache.v.memory))
                .u64(self.scales_address(&cache.k))
                .u64(self.scales_address(&cache.v))
                .u64(given_k.at)
                .u64(given_v.at)
                .u64(given_q.as_ref().map_or(0, |given| given.at))
                .u64(placed.slopes)
                .u64(placed.sinks)
                .u64(placed.tables)
                .u64(tasks)
                .u64(k_codes.block as u64)
                .u64(v_codes.block as u64)
                .count(k_codes.token)
                .count(k_codes.head)
                .count(v_codes.token)
                .count(v_codes.head)
                .count(heads * shape.block_size)
                .u32(1)
                .count(shape.block_size)
                .u32(shape.block_size.trailing_zeros())
                .count(attention.num_heads)
                .count(heads)
                .count(plan.group_size())
                .count(shape.head_dim)
                .f32(attention.softmax_scale)
                .f32(variant.soft_cap.unwrap_or(0.0))
                // A window beyond all positions hides nothing.
                .u32(variant.window.map_or(0, |w| u32::try_from(w).unwrap_or(u32::MAX)))
                .u32(variant.causal.into())
                .f32(prob)
                .finish()
        };
        for (index, tasks) in work.tasks.iter().enumerate().filter(|(_, tasks)| !tasks.is_empty()) {
            let kernel = placed.kernels[index].as_ref();
            let kernel = kernel.ok_or_else(|| unsupported("two tiles of rows on this device"))?;
            let grid = [grid_of(tasks.len())?, grid_of(heads)?, 1];
            let argument = argument(placed.tasks[index]);
            // SAFETY: `check_call` compared the cache with the plan's, whose tables are within it, and
            // the lengths of `q`, `out` and `lse` with the plan's rows; lists and states are the
            // plan's, and the scales, one per head, stay while `given_…` are there.
            unsafe { self.launch(&kernel.module, &kernel.name, grid, kernel.shared, &argument) }?;
        }
        if !work.joins.is_empty() {
            let grid = [grid_of(work.joins.len())?, grid_of(heads)?, 1];
            // SAFETY: as above.
            unsafe { self.launch("merge", "merge_chunks", grid, 0, &argument(placed.tasks[2])) }?;
        }
        Ok(())
    }
}
