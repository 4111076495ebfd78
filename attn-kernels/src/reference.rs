//! The oracle: attention in f64, one row after another, as the formula reads.

use crate::attention::AttentionShape;
use crate::backend::{Backend, KvCache, check_append, check_copies};
use crate::batch::{Batch, Sequence};
use crate::element;
use crate::error::Error;
use crate::plan::Plan;
use crate::scales::LayerScales;
use crate::shape::CacheShape;

/// The plain definition of what every backend computes, in f64, with no thought for speed.
///
/// Storage is the same as elsewhere (codes are made and read by scalar code), so that its result
/// on the stored values is the one others are measured against.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReferenceBackend;

impl Backend for ReferenceBackend {
    type Buffer = Vec<u8>;
    type Input<'a> = &'a [f32];
    type Output<'a> = &'a mut [f32];

    fn new_cache(&self, shape: CacheShape) -> Result<KvCache<Vec<u8>>, Error> {
        shape.validate()?;
        let elements = shape.num_blocks * shape.block_elements();
        let k = vec![0; elements * shape.k_type.size()];
        let v = vec![0; elements * shape.v_type.size()];
        Ok(KvCache { shape, k, v })
    }

    fn plan(
        &self,
        cache: &CacheShape,
        attention: &AttentionShape,
        batch: &Batch,
    ) -> Result<Plan, Error> {
        Plan::new(cache, attention, batch)
    }

    fn append(
        &self,
        cache: &mut KvCache<Vec<u8>>,
        scales: &LayerScales,
        k: &[f32],
        v: &[f32],
        slots: &[i64],
    ) -> Result<(), Error> {
        let shape = &cache.shape;
        check_append(shape, scales, k.len(), v.len(), slots)?;
        let (heads, d) = (shape.num_kv_heads, shape.head_dim);
        for (token, &slot) in slots.iter().enumerate() {
            let Ok(slot) = usize::try_from(slot) else { continue };
            for head in 0..heads {
                let at = shape.element(slot / shape.block_size, slot % shape.block_size, head);
                let row = (token * heads + head) * d..(token * heads + head + 1) * d;
                let (kt, vt) = (shape.k_type, shape.v_type);
                let k_dst = &mut cache.k[at * kt.size()..(at + d) * kt.size()];
                element::encode(kt, &k[row.clone()], scales.k.get(head), k_dst);
                let v_dst = &mut cache.v[at * vt.size()..(at + d) * vt.size()];
                element::encode(vt, &v[row], scales.v.get(head), v_dst);
            }
        }
        Ok(())
    }

    fn attention(
        &self,
        plan: &Plan,
        cache: &KvCache<Vec<u8>>,
        scales: &LayerScales,
        q: &[f32],
        out: &mut [f32],
        mut lse: Option<&mut [f32]>,
    ) -> Result<(), Error> {
        plan.check_call(&cache.shape, q.len(), out.len(), lse.as_ref().map(|l| l.len()))?;
        scales.validate(&cache.shape, Some(plan.attention().num_heads))?;
        let (heads, d) = (plan.attention().num_heads, cache.shape.head_dim);
        for sequence in plan.batch().sequences() {
            for (i, head) in (0..sequence.q_len).flat_map(|i| (0..heads).map(move |h| (i, h))) {
                let row = (sequence.row + i) * heads + head;
                let at = row * d..(row + 1) * d;
                let row_lse =
                    attend(plan, cache, scales, sequence, i, head, &q[at.clone()], &mut out[at]);
                if let Some(lse) = &mut lse {
                    lse[row] = row_lse;
                }
            }
        }
        Ok(())
    }

    fn copy_blocks(
        &self,
        cache: &mut KvCache<Vec<u8>>,
        copies: &[(u32, u32)],
    ) -> Result<(), Error> {
        check_copies(&cache.shape, copies)?;
        let elements = cache.shape.block_elements();
        for (bytes, stored) in
            [(&mut cache.k, cache.shape.k_type), (&mut cache.v, cache.shape.v_type)]
        {
            let size = elements * stored.size();
            for &(src, dst) in copies {
                let (src, dst) = (src as usize * size, dst as usize * size);
                bytes.copy_within(src..src + size, dst);
            }
        }
        Ok(())
    }
}

/// One row: a query token and head. Returns its lse.
#[expect(clippy::too_many_arguments, reason = "one row of a call, spelt out")]
fn attend(
    plan: &Plan,
    cache: &KvCache<Vec<u8>>,
    scales: &LayerScales,
    sequence: &Sequence,
    i: usize,
    head: usize,
    q: &[f32],
    out: &mut [f32],
) -> f32 {
    let (shape, variant) = (&cache.shape, &plan.attention().variant);
    let (d, kv_head) = (shape.head_dim, head / plan.group_size());
    let table = plan.batch().table(sequence);
    let read = |bytes: &[u8], stored: fp8_format::ElementType, j: usize, scale: f32| {
        let block = table[j / shape.block_size] as usize;
        let at = shape.element(block, j % shape.block_size, kv_head);
        let mut codes = vec![0.0; d];
        element::decode(stored, &bytes[at * stored.size()..(at + d) * stored.size()], &mut codes);
        codes.into_iter().map(|c| f64::from(c) * f64::from(scale)).collect::<Vec<f64>>()
    };
    let visible = plan.visible(sequence, i);
    let score = |j: usize| {
        let k = read(&cache.k, shape.k_type, j, scales.k.get(kv_head));
        let dot: f64 = q.iter().zip(&k).map(|(&q, k)| f64::from(q) * k).sum();
        let mut s = dot * f64::from(plan.attention().softmax_scale);
        if let Some(cap) = variant.soft_cap.map(f64::from) {
            s = cap * (s / cap).tanh();
        }
        if let Some(slopes) = &variant.alibi_slopes {
            // The last visible key is the query's own position.
            s -= f64::from(slopes[head]) * (visible.end - 1 - j) as f64;
        }
        s
    };
    let scores: Vec<f64> = visible.clone().map(score).collect();
    let sink = variant.sinks.as_ref().map_or(f64::NEG_INFINITY, |s| f64::from(s[head]));
    // `f64::max` passes over NaN; a NaN score still reaches the sum below.
    let max = scores.iter().copied().fold(sink, f64::max);
    if max == f64::NEG_INFINITY && !scores.iter().any(|s| s.is_nan()) {
        out.fill(0.0);
        return f32::NEG_INFINITY;
    }
    let mut sum = (sink - max).exp();
    let mut acc = vec![0.0; d];
    for (j, s) in visible.zip(scores) {
        let p = (s - max).exp();
        sum += p;
        let v = read(&cache.v, shape.v_type, j, scales.v.get(kv_head));
        acc.iter_mut().zip(v).for_each(|(a, v)| *a += p * v);
    }
    for (o, a) in out.iter_mut().zip(acc) {
        *o = (a / sum) as f32;
    }
    (max + sum.ln()) as f32
}
