//! Storing new K and V: divide by the scale, round, scatter to slots.

use fp8_format::ElementType;

use crate::backend::KvCache;
use crate::cpu::buffer::CpuBuffer;
use crate::element;
use crate::scales::{KvScale, LayerScales};
use crate::shape::CacheShape;

/// Stores every token that has a slot. The arguments were checked.
pub(crate) fn append(
    cache: &mut KvCache<CpuBuffer>,
    scales: &LayerScales,
    k: &[f32],
    v: &[f32],
    slots: &[i64],
) {
    let shape = &cache.shape;
    store(shape, &mut cache.k, shape.k_type, &scales.k, k, slots);
    store(shape, &mut cache.v, shape.v_type, &scales.v, v, slots);
}

fn store(
    shape: &CacheShape,
    buffer: &mut CpuBuffer,
    stored: ElementType,
    scale: &KvScale,
    src: &[f32],
    slots: &[i64],
) {
    let (heads, d) = (shape.num_kv_heads, shape.head_dim);
    for (token, &slot) in src.chunks_exact(heads * d).zip(slots) {
        let Ok(slot) = usize::try_from(slot) else { continue };
        let (block, offset) = (slot / shape.block_size, slot % shape.block_size);
        for (head, row) in token.chunks_exact(d).enumerate() {
            let at = shape.element(block, offset, head) * stored.size();
            let at = at..at + d * stored.size();
            element::encode(stored, row, scale.get(head), buffer.row_mut(at.clone()));
            buffer.note(block, head, at);
        }
    }
}
