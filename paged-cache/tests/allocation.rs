//! In steady state nothing is allocated: the same kinds of sequences over and over.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use paged_cache::{CacheConfig, Group, PagedCache, SeqId};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

fn count(bytes: usize) {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
    BYTES.set(BYTES.get() + bytes);
}

// SAFETY: everything is handed on to the system's allocator; counting touches only thread-locals that
// need no allocation and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`, which is `System`'s.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size);
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, new_size) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as above; `ptr` came from `System`.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A batch of sequences from admission to end: shared prompts, decoding with drafts, forks.
fn generation(cache: &mut PagedCache, prompts: &[Vec<u32>], round: u64) {
    let seq = |n: usize| SeqId(round * 1000 + n as u64);
    for (n, prompt) in prompts.iter().enumerate() {
        let cached = cache.admit(seq(n), prompt).unwrap().cached_tokens;
        cache.commit(seq(n), &prompt[cached..]).unwrap();
    }
    cache.fork(seq(0), seq(100)).unwrap();
    for step in 0..40 {
        for n in (0..prompts.len()).chain([100]) {
            let length = cache.num_tokens(seq(n)).unwrap();
            let append = cache.append(seq(n), 4).unwrap();
            assert_eq!(append.slots.count(), 4);
            cache.truncate(seq(n), length + 2).unwrap();
            cache.commit(seq(n), &[step, n as u32]).unwrap();
        }
    }
    for n in (0..prompts.len()).chain([100]) {
        cache.free(seq(n)).unwrap();
    }
}

#[test]
fn steady_state_allocates_nothing() {
    let groups = [
        vec![Group::full(16)],
        vec![Group::full(16), Group::sliding_window(16, 64), Group::chunked_local(32, 128)],
    ];
    for groups in groups {
        let config = CacheConfig { groups, ..CacheConfig::new(300, 16) };
        let mut cache = PagedCache::new(config).unwrap();
        let prompts: Vec<Vec<u32>> = (0..6)
            .map(|n| (0..200 + n).map(|at| if at < 100 { at } else { at * n }).collect())
            .collect();
        for round in 0..20 {
            generation(&mut cache, &prompts, round);
        }
        let before = ALLOCATIONS.get();
        for round in 20..60 {
            generation(&mut cache, &prompts, round);
        }
        assert_eq!(ALLOCATIONS.get() - before, 0, "{} groups", cache.config().groups.len());
        assert!(
            cache.stats().evictions > 0 && cache.stats().copies > 0 && cache.stats().hit_tokens > 0
        );
    }
}

#[test]
fn a_block_costs_at_most_128_bytes() {
    for blocks in [1000, (1 << 20) - 1, (1 << 20) + 1] {
        let before = BYTES.get();
        let cache = PagedCache::new(CacheConfig::new(blocks, 16)).unwrap();
        let bytes = BYTES.get() - before;
        assert!(bytes <= 128 * blocks, "{bytes} bytes for {blocks} blocks");
        // And the cache's own count of them is true, but for the odds and ends of the cache itself.
        let told = cache.bookkeeping_bytes();
        assert!(told <= bytes && bytes < told + 4096, "{told} told, {bytes} taken");
    }
}
