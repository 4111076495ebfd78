//! What the block manager costs: nanoseconds per operation, on a pool of 100,000 blocks.

use std::time::{Duration, Instant};

use paged_cache::{CacheConfig, PagedCache, SeqId};
use serde_json::{Map, Value, json};

use crate::Options;
use crate::report::{Failure, Report, Table, count};
use crate::timing::median;

const BLOCKS: usize = 100_000;
const BLOCK: usize = 16;
const PROMPT: usize = 2048;
const SEQUENCES: u64 = 256;

pub(crate) fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let budget = Duration::from_millis(if options.quick { 100 } else { 400 });
    let rows = [
        ("append one token, per sequence", append(budget)?),
        ("admit 2,048 tokens", admit(budget)?.0),
        ("free 128 blocks", admit(budget)?.1),
    ];
    report.heading(&format!("Block allocator ({} blocks of {BLOCK})", count(BLOCKS as u64)));
    let mut table = Table::new(&["", "ns"]);
    let mut json = Map::new();
    for (what, seconds) in rows {
        table.row([what.to_owned(), format!("{:.0}", seconds * 1e9)]);
        json.insert(what.to_owned(), json!({ "seconds": seconds }));
    }
    report.table(&table);
    report.note("  after each run every block is free again");
    report.add("allocator", Value::Object(json));
    Ok(())
}

/// Seconds to append one token to one of many growing sequences.
fn append(budget: Duration) -> Result<f64, Failure> {
    let mut cache = PagedCache::new(CacheConfig::new(BLOCKS, BLOCK))?;
    let free = cache.num_free_blocks();
    for seq in 0..SEQUENCES {
        cache.admit(SeqId(seq), &[seq as u32; 100])?;
    }
    let rounds = 64;
    let mut failed = None;
    let seconds = median(budget, || {
        for _ in 0..rounds {
            for seq in 0..SEQUENCES {
                if let Err(error) = cache.append(SeqId(seq), 1) {
                    failed = Some(error);
                }
            }
        }
        for seq in 0..SEQUENCES {
            if let Err(error) = cache.truncate(SeqId(seq), 100) {
                failed = Some(error);
            }
        }
    });
    if let Some(error) = failed {
        return Err(error.into());
    }
    for seq in 0..SEQUENCES {
        if cache.num_tokens(SeqId(seq))? != 100 {
            return Err(Failure::new(format!("sequence {seq} lost count of its tokens")));
        }
        cache.free(SeqId(seq))?;
    }
    all_free(&cache, free)?;
    Ok(seconds / (rounds as f64 * SEQUENCES as f64))
}

/// Seconds to admit a prompt, and to free its blocks.
fn admit(budget: Duration) -> Result<(f64, f64), Failure> {
    let mut cache = PagedCache::new(CacheConfig::new(BLOCKS, BLOCK))?;
    let free = cache.num_free_blocks();
    let started = Instant::now();
    let (mut admits, mut frees) = (Vec::new(), Vec::new());
    let mut next = 0u32;
    while admits.len() < 20 || started.elapsed() < 2 * budget {
        // New tokens each time: nothing of it was seen before.
        let prompt: Vec<u32> = (0..PROMPT as u32).map(|i| i.wrapping_mul(31) ^ next).collect();
        next += 1;
        let begun = Instant::now();
        let slots = cache.admit(SeqId(1), &prompt)?.slots.len();
        admits.push(begun.elapsed().as_secs_f64());
        if slots != PROMPT || cache.block_table(SeqId(1))?.len() != PROMPT / BLOCK {
            return Err(Failure::new(format!("{slots} slots for {PROMPT} tokens")));
        }
        let begun = Instant::now();
        cache.free(SeqId(1))?;
        frees.push(begun.elapsed().as_secs_f64());
    }
    all_free(&cache, free)?;
    let middle = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    Ok((middle(admits), middle(frees)))
}

fn all_free(cache: &PagedCache, free: usize) -> Result<(), Failure> {
    let now = cache.num_free_blocks();
    if now != free {
        return Err(Failure::new(format!("{now} blocks are free, {free} were before")));
    }
    Ok(())
}
