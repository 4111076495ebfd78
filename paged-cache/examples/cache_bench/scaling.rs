//! The same operations on pools of 10 thousand to 10 million blocks: time per block, where free
//! blocks follow each other in memory, and where they are strewn about.

use std::time::Instant;

use paged_cache::SeqId;

use crate::timing::{BLOCK_SIZE, Row, cache, median};

const TOKENS: usize = 2048;

pub(crate) fn rows() -> Vec<Row> {
    let small = [consecutive(10_000), strewn(10_000)];
    let large = [consecutive(10_000_000), strewn(10_000_000)];
    vec![
        Row {
            name: "take and free a block, 10k pool, in a row",
            value: small[0],
            unit: "ns",
            goal: None,
        },
        Row {
            name: "take and free a block, 10k pool, strewn",
            value: small[1],
            unit: "ns",
            goal: None,
        },
        Row {
            name: "take and free a block, 10M pool, in a row",
            value: large[0],
            unit: "ns",
            goal: None,
        },
        Row {
            name: "take and free a block, 10M pool, strewn",
            value: large[1],
            unit: "ns",
            goal: None,
        },
        Row {
            name: "10M to 10k, in a row",
            value: large[0] / small[0],
            unit: "x",
            goal: Some(2.0),
        },
        Row { name: "10M to 10k, strewn", value: large[1] / small[1], unit: "x", goal: Some(20.0) },
    ]
}

/// Takes 128 blocks at a time through nearly the whole pool and frees them again, from a pool whose
/// free list runs through memory in order.
fn consecutive(blocks: usize) -> f64 {
    let mut cache = cache(blocks);
    let all = (blocks - 1) * BLOCK_SIZE;
    cache.admit(SeqId(0), &[]).expect("empty");
    cache.append(SeqId(0), all).expect("all");
    cache.truncate(SeqId(0), 0).expect("there");
    time(&mut cache)
}

/// The same from a pool whose free list jumps about.
fn strewn(blocks: usize) -> f64 {
    let mut cache = cache(blocks);
    let sequences = (blocks / 1000) as u64;
    for seq in 0..sequences {
        cache.admit(SeqId(seq), &[]).expect("empty");
    }
    // Block after block goes to sequences in an order that never repeats: 7919 is prime.
    let rounds = (blocks - 1) as u64 / sequences;
    for round in 0..rounds {
        for at in 0..sequences {
            let seq = (at * 7919 + round * 104_729) % sequences;
            cache.append(SeqId(seq), BLOCK_SIZE).expect("one block");
        }
    }
    for seq in 0..sequences {
        cache.free(SeqId(seq * 7919 % sequences)).expect("there");
    }
    cache.admit(SeqId(0), &[]).expect("empty");
    time(&mut cache)
}

/// Sequences of either pool: as many as share 10 thousand blocks in appends of [`TOKENS`].
const SEQUENCES: u64 = 78;
/// Appends to each: many, so that a large pool does not run in one small warm corner.
const APPENDS: usize = 64;

fn time(cache: &mut paged_cache::PagedCache) -> f64 {
    let free = cache.num_free_blocks();
    let blocks = TOKENS / BLOCK_SIZE;
    let appends = (free / blocks / SEQUENCES as usize).min(APPENDS);
    for seq in 0..SEQUENCES {
        cache.admit(SeqId(1_000_000 + seq), &[]).expect("empty");
    }
    median(if appends == APPENDS { 5 } else { 5 * APPENDS }, || {
        let start = Instant::now();
        for _ in 0..appends {
            for seq in 0..SEQUENCES {
                cache.append(SeqId(1_000_000 + seq), TOKENS).expect("room");
            }
        }
        for seq in 0..SEQUENCES {
            cache.truncate(SeqId(1_000_000 + seq), 0).expect("there");
        }
        let time = start.elapsed().as_nanos() as f64;
        assert_eq!(cache.num_free_blocks(), free);
        time / (appends * SEQUENCES as usize * blocks) as f64
    })
}
