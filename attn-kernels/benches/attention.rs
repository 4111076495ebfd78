//! One decode step, one prefill chunk and one append over an FP8 cache.

use attn_kernels::{AttentionShape, Backend, Batch, CacheShape, CpuBackend, KvScale, LayerScales};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fp8_format::ElementType::F8E4M3;

const HEADS: usize = 32;
const KV_HEADS: usize = 8;
const D: usize = 128;
const TOKENS: usize = 1024;

fn attention(criterion: &mut Criterion) {
    let cpu = CpuBackend::new();
    let shape = CacheShape::new(TOKENS / 16 + 1, 16, KV_HEADS, D, F8E4M3, F8E4M3);
    let mut cache = cpu.new_cache(shape.clone()).unwrap();
    let scale = || KvScale::PerTensor(0.02);
    let scales = LayerScales { k: scale(), v: scale(), ..LayerScales::default() };
    let kv: Vec<f32> =
        (0..TOKENS * KV_HEADS * D).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect();
    let slots: Vec<i64> = (16..16 + TOKENS as i64).collect();

    let mut group = criterion.benchmark_group("e4m3_32x8x128");
    group.throughput(Throughput::Bytes((2 * 4 * kv.len()) as u64));
    group.bench_function("append_1024", |b| {
        b.iter(|| cpu.append(&mut cache, &scales, &kv, &kv, &slots).unwrap());
    });
    for (name, q_len) in [("decode_1024", 1), ("prefill_64_of_1024", 64)] {
        let mut batch = Batch::new();
        batch.push(q_len, TOKENS, 1..=(TOKENS / 16) as u32);
        let attention = AttentionShape::new(HEADS, 1.0 / (D as f32).sqrt());
        let plan = cpu.plan(&shape, &attention, &batch).unwrap();
        let q = kv[..q_len * HEADS * D].to_vec();
        let mut out = vec![0.0; q.len()];
        group.throughput(Throughput::Elements((q_len * HEADS * D * TOKENS * 2) as u64));
        group.bench_function(name, |b| {
            b.iter(|| cpu.attention(&plan, &cache, &scales, &q, &mut out, None).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, attention);
criterion_main!(benches);
