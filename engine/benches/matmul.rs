//! The matrix product at the shapes of SmolLM2-135M: one row against the weights' bytes, many rows
//! against the arithmetic.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use engine::ops::{Matrix, Product, WeightType, matmul};
use std::hint::black_box;

fn products(criterion: &mut Criterion) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("one thread");
    for (columns, depth) in [(576, 576), (1536, 576), (576, 1536)] {
        // Enough copies that the weights come from memory, as in a decode step.
        let (size, copies) = (columns * depth * 2, (256 << 20) / (columns * depth * 2));
        let bytes = vec![0x3c; size * copies];
        for rows in [1, 8, 128] {
            let x = vec![0.5; rows * depth];
            let mut out = vec![0.0; rows * columns];
            let mut group = criterion.benchmark_group(format!("bf16 {columns}x{depth}"));
            group.throughput(match rows {
                1 => Throughput::Bytes(size as u64),
                _ => Throughput::Elements((2 * rows * columns * depth) as u64),
            });
            let mut next = 0;
            group.bench_function(BenchmarkId::from_parameter(rows), |bencher| {
                bencher.iter(|| {
                    next = (next + 1) % copies;
                    let weight = &bytes[next * size..][..size];
                    let weight = Matrix::new(weight, WeightType::Bf16, columns, depth);
                    let product = Product { weight, bias: None, out: &mut out };
                    pool.install(|| matmul(black_box(&x), rows, [product]));
                });
            });
        }
    }
}

criterion_group!(benches, products);
criterion_main!(benches);
