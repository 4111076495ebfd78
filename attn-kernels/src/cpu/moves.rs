//! Blocks that move as they are (between caches, to the host and back), and tokens that leave as
//! numbers. All arguments were checked.

use std::ops::Range;

use crate::backend::KvCache;
use crate::cpu::buffer::CpuBuffer;
use crate::element;
use crate::scales::LayerScales;
use crate::shape::{CacheShape, Side};

const SIDES: [Side; 2] = [Side::K, Side::V];

pub(super) fn copy_from(
    cache: &mut KvCache<CpuBuffer>,
    source: &KvCache<CpuBuffer>,
    copies: &[(u32, u32)],
) {
    for &(src, dst) in copies {
        for side in SIDES {
            cache.buffer_mut(side).set_block(dst as usize, source.buffer(side).block(src as usize));
        }
    }
}

/// Per block: K's codes, K's dynamic scales, V's codes, V's dynamic scales.
pub(super) fn swap_out(cache: &KvCache<CpuBuffer>, blocks: &[u32], mut host: &mut [u8]) {
    for &block in blocks {
        for part in SIDES.into_iter().flat_map(|side| cache.buffer(side).block(block as usize)) {
            let (to, rest) = host.split_at_mut(part.len());
            to.copy_from_slice(part);
            host = rest;
        }
    }
}

pub(super) fn swap_in(cache: &mut KvCache<CpuBuffer>, blocks: &[u32], mut host: &[u8]) {
    for &block in blocks {
        for side in SIDES {
            let (codes, rest) = host.split_at(cache.shape.codes(side).block);
            let (scales, rest) = rest.split_at(cache.shape.scales(side).block);
            cache.buffer_mut(side).set_block(block as usize, [codes, scales]);
            host = rest;
        }
    }
}

pub(super) fn gather(
    cache: &KvCache<CpuBuffer>,
    scales: &LayerScales,
    side: Side,
    block_table: &[u32],
    tokens: Range<usize>,
    out: &mut [f32],
) {
    let CacheShape { num_kv_heads, head_dim, block_size, .. } = cache.shape;
    let stored = cache.shape.stored(side);
    for (t, out) in tokens.zip(out.chunks_exact_mut(num_kv_heads * head_dim)) {
        let block = block_table[t / block_size] as usize;
        for (head, out) in out.chunks_exact_mut(head_dim).enumerate() {
            let (codes, own) = cache.buffer(side).row(block, t % block_size, head);
            let scale = own.unwrap_or(scales.of(side).get(head));
            element::decode(stored, codes, out);
            out.iter_mut().for_each(|x| *x *= scale);
        }
    }
}
