//! One attention layer of someone else's engine: append ten tokens to an FP8 cache, attend.

use attn_kernels::{AttentionShape, Backend, Batch, CacheShape, LayerScales, ReferenceBackend};
use fp8_format::ElementType::F8E4M3;

const TOKENS: usize = 10;
const D: usize = 16;

fn main() -> Result<(), attn_kernels::Error> {
    let backend = ReferenceBackend;
    let mut cache = backend.new_cache(CacheShape::new(4, 8, 1, D, F8E4M3, F8E4M3))?;
    let scales = LayerScales::default();

    // All keys are equal, so attention is the mean of the values 0..10, all exact in FP8.
    let k = [0.5; TOKENS * D];
    let v: Vec<f32> = (0..TOKENS * D).map(|i| (i / D) as f32).collect();
    // Tokens 0..8 in block 2, the last two in block 1.
    let slots: Vec<i64> = (16..24).chain(8..10).collect();
    backend.append(&mut cache, &scales, &k, &v, &slots)?;

    let mut batch = Batch::new();
    batch.push(1, TOKENS, [2, 1]);
    let plan = backend.plan(cache.shape(), &AttentionShape::new(1, 0.25), &batch)?;
    let mut out = [0.0; D];
    backend.attention(&plan, &cache, &scales, &[1.0; D], &mut out, None)?;
    assert!(out.iter().all(|x| (x - 4.5).abs() < 1e-5), "{out:?}");
    println!("the mean of 0..10 through an FP8 paged cache is {}", out[0]);
    Ok(())
}
