//! Storing new K and V: divide by the scale, round, scatter to slots.

use rayon::prelude::*;

use crate::backend::KvCache;
use crate::cpu::buffer::{CpuBuffer, HeadMut};
use crate::scales::LayerScales;
use crate::shape::{CacheShape, Side};

/// Elements of K and V from which on threads share the work: less is done before they wake.
const SHARED_FROM: usize = 1 << 17;

/// Stores every token that has a slot. The arguments were checked.
pub(crate) fn append(
    cache: &mut KvCache<CpuBuffer>,
    scales: &LayerScales,
    k: &[f32],
    v: &[f32],
    slots: &[i64],
) {
    let KvCache { shape, k: k_buffer, v: v_buffer } = cache;
    let heads = |buffer, side, src| CpuBuffer::heads_mut(buffer).map(move |h| (h, side, src));
    let tasks = heads(k_buffer, Side::K, k).chain(heads(v_buffer, Side::V, v));
    let run = |(mut head, side, src): (HeadMut<'_>, Side, &[f32])| {
        let scale = scales.of(side).get(head.head);
        store(shape, &mut head, scale, src, slots);
    };
    if k.len() + v.len() >= SHARED_FROM && rayon::current_num_threads() > 1 {
        tasks.collect::<Vec<_>>().into_par_iter().for_each(run);
    } else {
        tasks.for_each(run);
    }
}

/// Stores one head, token after token: of two for one slot, the last stays.
fn store(shape: &CacheShape, head: &mut HeadMut<'_>, scale: f32, src: &[f32], slots: &[i64]) {
    let (heads, d) = (shape.num_kv_heads, shape.head_dim);
    for (token, &slot) in src.chunks_exact(heads * d).zip(slots) {
        if let Some((block, offset)) = shape.locate(slot) {
            head.store(block, offset, &token[head.head * d..][..d], scale);
        }
    }
}
