//! The cache's everyday operations under criterion. The report with goals is the example
//! `cache_bench`.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use paged_cache::{CacheConfig, PagedCache, SeqId};

fn cache() -> PagedCache {
    PagedCache::new(CacheConfig::new(100_000, 16)).expect("a valid configuration")
}

fn operations(c: &mut Criterion) {
    let tokens: Vec<u32> = (0..2049).collect();

    c.bench_function("append 1 token", |b| {
        let mut cache = cache();
        cache.admit(SeqId(1), &[]).expect("room");
        b.iter(|| {
            // Starts again before the pool is full.
            if cache.num_free_blocks() == 0 {
                cache.truncate(SeqId(1), 0).expect("there");
            }
            cache.append(SeqId(1), 1).expect("room").slots.next()
        });
    });

    c.bench_function("admit and commit 2048 tokens, cold", |b| {
        let mut cache = cache();
        let mut prompt = tokens.clone();
        let mut seq = 0;
        b.iter(|| {
            seq += 1;
            prompt[0] = seq;
            let cached = cache.admit(SeqId(1), &prompt).expect("room").cached_tokens;
            cache.commit(SeqId(1), &prompt[cached..]).expect("admitted");
            cache.free(SeqId(1)).expect("admitted");
            assert_eq!(cached, 0);
        });
    });

    c.bench_function("admit 2048 tokens, full hit", |b| {
        let mut cache = cache();
        cache.admit(SeqId(0), &tokens).expect("room");
        cache.commit(SeqId(0), &tokens).expect("admitted");
        b.iter(|| {
            let cached = cache.admit(SeqId(1), &tokens).expect("room").cached_tokens;
            cache.free(SeqId(1)).expect("admitted");
            assert_eq!(cached, 2048);
        });
    });

    c.bench_function("free 128 blocks", |b| {
        let mut full = cache();
        full.admit(SeqId(1), &tokens[..2048]).expect("room");
        full.commit(SeqId(1), &tokens[..2048]).expect("admitted");
        b.iter_batched_ref(
            || full.clone(),
            |cache| cache.free(SeqId(1)).expect("there"),
            BatchSize::LargeInput,
        );
    });

    c.bench_function("new pool of 10M blocks", |b| {
        b.iter(|| PagedCache::new(CacheConfig::new(10_000_000, 16)).expect("valid"));
    });
}

criterion_group!(benches, operations);
criterion_main!(benches);
