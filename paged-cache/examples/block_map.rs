//! A cache drawn as a map of its blocks, through a short run: two questions that share a beginning, a
//! fork, and one more prompt than fits.
//!
//! ```text
//! cargo run -p paged-cache --example block_map
//! ```

use paged_cache::{CacheConfig, Error, PagedCache, SeqId};

fn main() -> Result<(), Error> {
    let mut cache = PagedCache::new(CacheConfig::new(97, 16))?;
    let system: Vec<u32> = (0..512).collect();
    let ask = |words: std::ops::Range<u32>| [&system[..], &words.collect::<Vec<_>>()].concat();

    let question = ask(1000..1100);
    compute(&mut cache, SeqId(1), &question)?;
    show("A question after a system prompt of 512 tokens", &cache);

    compute(&mut cache, SeqId(2), &ask(2000..2300))?;
    show("Another after the same system prompt: its 32 blocks are shared", &cache);

    cache.fork(SeqId(2), SeqId(3))?;
    for token in 0..40 {
        for seq in [SeqId(2), SeqId(3)] {
            cache.append(seq, 1)?;
            cache.commit(seq, &[token * 2 + seq.0 as u32])?;
        }
    }
    show("The second is forked, and both go on for 40 tokens, each in blocks of its own", &cache);

    cache.free(SeqId(1))?;
    show("The first is done: what it alone held is free, and can still be hit", &cache);

    match compute(&mut cache, SeqId(4), &(5000..5800).collect::<Vec<_>>()) {
        Err(full @ Error::NoFreeBlocks { .. }) => println!("A prompt of 800 tokens: {full}.\n"),
        other => return other,
    }
    // The youngest give way until it fits.
    for seq in cache.preemption_order() {
        cache.preempt(seq)?;
        let fits = compute(&mut cache, SeqId(4), &(5000..5800).collect::<Vec<_>>()).is_ok();
        show(
            &format!("Sequence {seq} gives way{}", if fits { ": now it fits" } else { "" }),
            &cache,
        );
        if fits {
            break;
        }
    }
    Ok(())
}

/// Where an engine would run the model.
fn compute(cache: &mut PagedCache, seq: SeqId, tokens: &[u32]) -> Result<(), Error> {
    let cached = cache.admit(seq, tokens)?.cached_tokens;
    cache.commit(seq, &tokens[cached..])
}

fn show(title: &str, cache: &PagedCache) {
    println!("{title}:\n{cache}");
}
