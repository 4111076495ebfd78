//! The everyday operations, on a pool of 100,000 blocks of 16 tokens.

use std::hint::black_box;
use std::time::Instant;

use paged_cache::{CacheConfig, PagedCache, SeqId, Slot};

/// One measured number.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// What it should not exceed.
    pub(crate) goal: Option<f64>,
}

impl Row {
    pub(crate) fn holds(&self) -> bool {
        self.goal.is_none_or(|goal| self.value <= goal)
    }
}

pub(crate) const BLOCK_SIZE: usize = 16;
const BLOCKS: usize = 100_000;
const SEQUENCES: u64 = 256;
const PROMPT: usize = 2048;
const SAMPLES: usize = 201;

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row { name: "append 1 token", value: append(false), unit: "ns", goal: Some(100.0) },
        Row { name: "append and commit 1 token", value: append(true), unit: "ns", goal: None },
        Row { name: "admit 2048 tokens, cold", value: admit(false), unit: "us", goal: Some(40.0) },
        Row {
            name: "admit 2048 tokens, full hit",
            value: admit(true),
            unit: "us",
            goal: Some(35.0),
        },
        Row { name: "blake3 of 2048 tokens, alone", value: hashing(), unit: "us", goal: None },
        Row { name: "free 128 blocks", value: free(), unit: "us", goal: Some(2.0) },
        Row { name: "new pool of 10M blocks", value: new_pool(), unit: "ms", goal: Some(100.0) },
        Row { name: "bookkeeping per block", value: bytes(), unit: "bytes", goal: Some(128.0) },
    ]
}

pub(crate) fn cache(num_blocks: usize) -> PagedCache {
    PagedCache::new(CacheConfig::new(num_blocks, BLOCK_SIZE)).expect("a valid configuration")
}

/// The median of what `sample` returns.
pub(crate) fn median(samples: usize, mut sample: impl FnMut() -> f64) -> f64 {
    let mut values: Vec<f64> = (0..samples).map(|_| sample()).collect();
    values.sort_by(f64::total_cmp);
    values[samples / 2]
}

/// Tokens that no other prompt begins with.
fn prompt(seed: u32) -> Vec<u32> {
    (0..PROMPT as u32).map(|at| at ^ seed.wrapping_mul(2_654_435_761)).collect()
}

/// One token for each of 256 running sequences, per sequence.
fn append(commit: bool) -> f64 {
    let mut cache = cache(BLOCKS);
    for seq in 0..SEQUENCES {
        let tokens = prompt(seq as u32);
        cache.admit(SeqId(seq), &tokens).expect("room");
        cache.commit(SeqId(seq), &tokens).expect("admitted");
    }
    let mut length = PROMPT;
    median(SAMPLES, || {
        let start = Instant::now();
        let mut sum = 0;
        for seq in 0..SEQUENCES {
            let append = cache.append(SeqId(seq), 1).expect("room");
            sum += append.slots.map(Slot::index).sum::<usize>();
            if commit {
                cache.commit(SeqId(seq), &[black_box(7)]).expect("appended");
            }
        }
        let time = start.elapsed().as_nanos() as f64;
        length += 1;
        assert_eq!(cache.num_tokens(SeqId(SEQUENCES - 1)), Ok(length));
        assert!(black_box(sum) > 0);
        time / SEQUENCES as f64
    })
}

/// A prompt of 2,048 tokens, until its blocks can be hit: keys and all.
fn admit(hit: bool) -> f64 {
    let mut cache = cache(BLOCKS);
    let mut seed = 0;
    median(SAMPLES, || {
        let seq = SeqId(u64::from(seed));
        let mut tokens = prompt(if hit { 0 } else { seed });
        // One more, as the last token is never a hit: so all 128 blocks are.
        tokens.push(1);
        let cached = if hit && seed > 0 { PROMPT } else { 0 };
        let start = Instant::now();
        let admission = cache.admit(seq, &tokens).expect("room");
        assert_eq!(admission.cached_tokens, cached);
        cache.commit(seq, &tokens[cached..]).expect("admitted");
        let time = start.elapsed().as_nanos() as f64 / 1e3;
        cache.free(seq).expect("admitted");
        seed += 1;
        time
    })
}

/// The keys alone: 128 keyed hashes of 64 bytes, each with the last one's result as its key.
fn hashing() -> f64 {
    let tokens: Vec<u8> = prompt(0).iter().flat_map(|token| token.to_le_bytes()).collect();
    median(SAMPLES, || {
        let start = Instant::now();
        let mut key = [0; 32];
        for block in tokens.chunks(4 * BLOCK_SIZE) {
            key = *blake3::keyed_hash(&key, block).as_bytes();
        }
        black_box(key);
        start.elapsed().as_nanos() as f64 / 1e3
    })
}

fn free() -> f64 {
    let mut cache = cache(BLOCKS);
    let mut seed = 0;
    median(SAMPLES, || {
        // A few, so that the blocks are not the ones just touched.
        for n in 0..16 {
            seed += 1;
            let tokens = prompt(seed);
            cache.admit(SeqId(n), &tokens).expect("room");
            cache.commit(SeqId(n), &tokens).expect("admitted");
        }
        let before = cache.num_free_blocks();
        let start = Instant::now();
        for n in 0..16 {
            cache.free(SeqId(n)).expect("admitted");
        }
        let time = start.elapsed().as_nanos() as f64 / 16e3;
        assert_eq!(cache.num_free_blocks() - before, 16 * PROMPT / BLOCK_SIZE);
        time
    })
}

/// Making the pool and using it once.
fn new_pool() -> f64 {
    median(5, || {
        let start = Instant::now();
        let mut cache = cache(10_000_000);
        cache.admit(SeqId(1), &[1, 2, 3]).expect("room");
        let time = start.elapsed().as_nanos() as f64 / 1e6;
        assert_eq!(cache.num_free_blocks(), 10_000_000 - 2);
        time
    })
}

/// At its worst, just above a power of two, where the hash table has twice as many buckets.
fn bytes() -> f64 {
    let blocks = (1 << 20) + 1;
    cache(blocks).bookkeeping_bytes() as f64 / blocks as f64
}
