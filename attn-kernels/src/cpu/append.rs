//! Storing new K and V: divide by the scale, round, scatter to slots.

use rayon::prelude::*;

use crate::backend::KvCache;
use crate::cpu::buffer::{CpuBuffer, HeadMut};
use crate::observe::{HeadAbsmax, note_absmax};
use crate::scales::{KvScale, LayerScales};
use crate::shape::CacheShape;

/// Elements of K and V from which on threads share the work: less is done before they wake.
const SHARED_FROM: usize = 1 << 17;

/// Stores every token that has a slot. The arguments were checked.
pub(crate) fn append(
    cache: &mut KvCache<CpuBuffer>,
    scales: &LayerScales,
    k: &[f32],
    v: &[f32],
    slots: &[i64],
    seen: Option<&mut HeadAbsmax>,
) {
    let KvCache { shape, k: k_buffer, v: v_buffer } = cache;
    let (k_seen, v_seen) = seen.map_or((None, None), |s| (Some(&mut s.k), Some(&mut s.v)));
    let tasks = tasks(k_buffer, &scales.k, k, k_seen).chain(tasks(v_buffer, &scales.v, v, v_seen));
    let run = |task: Task<'_>| store(shape, task, slots);
    if k.len() + v.len() >= SHARED_FROM && rayon::current_num_threads() > 1 {
        tasks.collect::<Vec<_>>().into_par_iter().for_each(run);
    } else {
        tasks.for_each(run);
    }
}

/// One head of one side.
struct Task<'a> {
    head: HeadMut<'a>,
    scale: f32,
    src: &'a [f32],
    seen: Option<&'a mut f32>,
}

fn tasks<'a>(
    buffer: &'a mut CpuBuffer,
    scale: &'a KvScale,
    src: &'a [f32],
    seen: Option<&'a mut Box<[f32]>>,
) -> impl Iterator<Item = Task<'a>> {
    let mut seen = seen.map(|seen| seen.iter_mut());
    buffer.heads_mut().map(move |head| {
        let seen = seen.as_mut().and_then(Iterator::next);
        Task { scale: scale.get(head.head), head, src, seen }
    })
}

/// Stores one head, token after token: of two for one slot, the last stays.
fn store(shape: &CacheShape, task: Task<'_>, slots: &[i64]) {
    let (heads, d) = (shape.num_kv_heads, shape.head_dim);
    let Task { mut head, scale, src, mut seen } = task;
    for (token, &slot) in src.chunks_exact(heads * d).zip(slots) {
        let Some((block, offset)) = shape.locate(slot) else { continue };
        let row = &token[head.head * d..][..d];
        head.store(block, offset, row, scale);
        if let Some(seen) = &mut seen {
            note_absmax(seen, row);
        }
    }
}
