//! The slice functions on a row of a head, a block of the cache, and a buffer within the second
//! cache. `examples/codec_bench.rs` compares with other crates.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fp8_format::{F8E4M3, absmax, absmax_encode, decode_slice, encode_slice};
use half::bf16;

fn codec(criterion: &mut Criterion) {
    for len in [128, 16 * 8 * 128, 64 << 10] {
        let src: Vec<f32> = (0..len).map(|i| ((i * 37) % 1013) as f32 * 0.01 - 5.0).collect();
        let halves: Vec<bf16> = src.iter().map(|&x| bf16::from_f32(x)).collect();
        let mut codes = vec![F8E4M3::ZERO; len];
        let mut back = vec![0.0_f32; len];

        let mut group = criterion.benchmark_group("codec");
        group.throughput(Throughput::Elements(len as u64));
        group.bench_function(BenchmarkId::new("encode f32", len), |b| {
            b.iter(|| encode_slice(&src, 0.037, &mut codes));
        });
        group.bench_function(BenchmarkId::new("encode bf16", len), |b| {
            b.iter(|| encode_slice(&halves, 0.037, &mut codes));
        });
        group.bench_function(BenchmarkId::new("absmax_encode f32", len), |b| {
            b.iter(|| absmax_encode(&src, &mut codes));
        });
        group.bench_function(BenchmarkId::new("absmax f32", len), |b| b.iter(|| absmax(&src)));
        group.bench_function(BenchmarkId::new("decode f32", len), |b| {
            b.iter(|| decode_slice(&codes, 0.037, &mut back));
        });
        group.finish();
    }
}

criterion_group!(benches, codec);
criterion_main!(benches);
