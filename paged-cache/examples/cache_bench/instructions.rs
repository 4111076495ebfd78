//! A fixed list of operations, to count their instructions on pools of different sizes:
//!
//! ```text
//! for n in 10000 100000 1000000 10000000; do
//!   valgrind --tool=callgrind --callgrind-out-file=/dev/null --collect-atstart=no \
//!     --toggle-collect='*measured*' target/release/examples/cache_bench --instructions $n
//! done
//! ```

use std::hint::black_box;

use paged_cache::{PagedCache, SeqId};

use crate::timing::{BLOCK_SIZE, cache};

/// Uses the whole pool once, then counts.
pub(crate) fn run(blocks: usize) {
    let mut cache = cache(blocks);
    cache.admit(SeqId(0), &[]).expect("empty");
    cache.append(SeqId(0), (blocks - 1) * BLOCK_SIZE).expect("all");
    cache.free(SeqId(0)).expect("there");
    // Once unmeasured: vectors grow to their size.
    measured(&mut cache, 0);
    measured(&mut cache, 1);
    println!("{blocks} blocks: done");
}

/// Admissions cold and hit, appends, commits, a fork with its copy, frees.
#[inline(never)]
fn measured(cache: &mut PagedCache, round: u32) {
    for prompt in 0..20 {
        let tokens: Vec<u32> = (0..2049).map(|at| at * 3 + prompt + 100 * round).collect();
        for seq in [SeqId(1), SeqId(2)] {
            let cached = cache.admit(seq, &tokens).expect("room").cached_tokens;
            assert_eq!(cached, if seq == SeqId(2) { 2048 } else { 0 });
            cache.commit(seq, &tokens[cached..]).expect("admitted");
        }
        cache.fork(SeqId(2), SeqId(3)).expect("there");
        for step in 0..100 {
            for seq in 1..4 {
                black_box(cache.append(SeqId(seq), 1).expect("room").slots.next());
                cache.commit(SeqId(seq), &[step + seq as u32]).expect("appended");
            }
        }
        for seq in 1..4 {
            cache.free(SeqId(seq)).expect("there");
        }
    }
}
