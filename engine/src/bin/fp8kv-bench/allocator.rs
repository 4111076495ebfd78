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
    let (cold, hit, free) = admit(budget)?;
    let rows = [
        ("append_one_token", "append one token to a sequence", append(budget)?),
        ("admit_2048_cold", "admit 2,048 new tokens, hashed for sharing", cold),
        ("admit_2048_hit", "admit 2,048 tokens, all but the last block shared", hit),
        ("free_128_blocks", "free 128 blocks", free),
    ];
    report.heading(&format!("Block allocator ({} blocks of {BLOCK})", count(BLOCKS as u64)));
    let mut table = Table::new(&["", "ns"]);
    let mut json = Map::new();
    for (key, what, seconds) in rows {
        table.row([what.to_owned(), count((seconds * 1e9).round() as u64)]);
        json.insert(format!("{key}_seconds"), json!(seconds));
    }
    report.table(&table);
    report.note("  slots, tables and hits checked each time; every block is free again after");
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

/// Seconds to admit a prompt that is new, to admit it again, and to free its blocks.
fn admit(budget: Duration) -> Result<(f64, f64, f64), Failure> {
    let mut cache = PagedCache::new(CacheConfig::new(BLOCKS, BLOCK))?;
    let free = cache.num_free_blocks();
    let started = Instant::now();
    let mut times = [const { Vec::new() }; 3];
    for round in 0u32.. {
        if times[0].len() >= 20 && started.elapsed() > 2 * budget {
            break;
        }
        // New tokens in each round: nothing of them was seen before.
        let prompt: Vec<u32> = (0..PROMPT as u32).map(|i| i.wrapping_mul(31) ^ round).collect();
        let (first, second) = (SeqId(1), SeqId(2));
        let begun = Instant::now();
        let cold = cache.admit(first, &prompt)?.cached_tokens;
        cache.commit(first, &prompt)?;
        times[0].push(begun.elapsed().as_secs_f64());

        let begun = Instant::now();
        let hit = cache.admit(second, &prompt)?.cached_tokens;
        times[1].push(begun.elapsed().as_secs_f64());
        // The last token is always computed, and only whole blocks are shared.
        if (cold, hit) != (0, PROMPT - BLOCK) {
            return Err(Failure::new(format!("{cold} and then {hit} tokens of {PROMPT} found")));
        }
        cache.free(second)?;
        let begun = Instant::now();
        cache.free(first)?;
        times[2].push(begun.elapsed().as_secs_f64());
    }
    all_free(&cache, free)?;
    let [cold, hit, freed] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    });
    Ok((cold, hit, freed))
}

fn all_free(cache: &PagedCache, free: usize) -> Result<(), Failure> {
    let now = cache.num_free_blocks();
    if now != free {
        return Err(Failure::new(format!("{now} blocks are free, {free} were before")));
    }
    Ok(())
}
