//! How long it takes to open a checkpoint and to resolve its scales, without a disk.

use std::borrow::Cow;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use kv_scales::{Checkpoint, KvDtype, ResolveOptions, resolve};

fn files(name: &str) -> Vec<(String, Cow<'static, [u8]>)> {
    let dir = format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    ["config.json", "scales.safetensors"]
        .map(|file| (file.to_owned(), Cow::Owned(std::fs::read(format!("{dir}/{file}")).unwrap())))
        .into()
}

fn bench(c: &mut Criterion) {
    let files = files("compressed_tensors_attn_tensor");
    let options = ResolveOptions { dtype: KvDtype::Fp8E4M3.into(), ..Default::default() };
    let mut group = c.benchmark_group("180 scale tensors, 30 layers");
    group.bench_function("open", |b| {
        b.iter(|| Checkpoint::from_memory(black_box(files.clone())).unwrap());
    });
    let checkpoint = Checkpoint::from_memory(files.clone()).unwrap();
    // The answer that is timed is the right one.
    let scales = resolve(&checkpoint, &options).unwrap();
    assert_eq!(scales.layers()[0].k.value.values(), [0.023_681_64]);
    group.bench_function("resolve", |b| {
        b.iter(|| resolve(black_box(&checkpoint), black_box(&options)).unwrap());
    });
    group.bench_function("fingerprint", |b| b.iter(|| black_box(&scales).fingerprint()));
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
