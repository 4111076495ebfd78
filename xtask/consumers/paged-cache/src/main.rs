//! A block manager for someone else's kernels: sequences come and go, and nothing leaks.

use std::error::Error;

use paged_cache::{CacheConfig, PagedCache, SeqId};

fn main() -> Result<(), Box<dyn Error>> {
    let mut cache = PagedCache::new(CacheConfig::new(128, 16))?;
    let free = cache.num_free_blocks();

    let (chat, branch) = (SeqId(1), SeqId(2));
    let slots = cache.admit(chat, &[42; 40])?.slots.len();
    assert_eq!(slots, 40);
    cache.fork(chat, branch)?;
    // The shared last block must be copied before one of the two writes into it.
    let copies = cache.append(branch, 1)?.copies.len();
    assert_eq!(copies, 1);
    assert_eq!(cache.block_table(chat)?[..2], cache.block_table(branch)?[..2]);
    assert_ne!(cache.block_table(chat)?[2], cache.block_table(branch)?[2]);

    assert!(cache.append(SeqId(3), 1).is_err(), "nobody admitted this one");
    cache.free(chat)?;
    cache.free(branch)?;
    assert_eq!(cache.num_free_blocks(), free);
    println!("two sequences of 40 and 41 tokens shared 2 of 4 blocks; all {free} are free again");
    Ok(())
}
