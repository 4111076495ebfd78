//! The everyday calls: what they give, what they refuse, and that a refusal changes nothing.

use paged_cache::{BlockCopy, BlockId, CacheConfig, Error, PagedCache, SeqId, Slot};

const A: SeqId = SeqId(1);
const B: SeqId = SeqId(2);

fn cache(num_blocks: usize) -> PagedCache {
    PagedCache::new(CacheConfig::new(num_blocks, 4)).unwrap()
}

fn indices(blocks: &[BlockId]) -> Vec<u32> {
    blocks.iter().map(|b| b.index()).collect()
}

#[test]
fn slots_follow_the_block_table() {
    let mut cache = cache(10);
    let slots: Vec<_> = cache.admit(A, &[0; 6]).unwrap().slots.map(Slot::index).collect();
    assert_eq!(slots, [4, 5, 6, 7, 8, 9]);
    let append = cache.append(A, 3).unwrap();
    assert!(append.copies.is_empty());
    assert_eq!(append.slots.map(Slot::index).collect::<Vec<_>>(), [10, 11, 12]);
    assert_eq!(indices(cache.block_table(A).unwrap()), [1, 2, 3]);
    cache.truncate(A, 4).unwrap();
    assert_eq!(indices(cache.block_table(A).unwrap()), [1]);
    assert_eq!(cache.num_free_blocks(), 8);
    cache.free(A).unwrap();
    assert_eq!(cache.num_free_blocks(), 9);
}

#[test]
fn a_fork_copies_on_write() {
    let mut cache = cache(10);
    cache.admit(A, &[0; 6]).unwrap();
    cache.fork(A, B).unwrap();
    assert_eq!(cache.num_free_blocks(), 7);
    let append = cache.append(B, 1).unwrap();
    assert_eq!(append.copies, [BlockCopy { src: append.copies[0].src, dst: append.copies[0].dst }]);
    let copy = append.copies[0];
    assert_eq!((copy.src.index(), copy.dst.index()), (2, 3));
    assert_eq!(append.slots.map(Slot::index).collect::<Vec<_>>(), [14]);
    // The parent is now alone on its last block.
    assert!(cache.append(A, 1).unwrap().copies.is_empty());
    assert_eq!(indices(cache.block_table(A).unwrap()), [1, 2]);
    assert_eq!(indices(cache.block_table(B).unwrap()), [1, 3]);
    cache.free(A).unwrap();
    assert_eq!(cache.num_free_blocks(), 7);
    cache.free(B).unwrap();
    assert_eq!(cache.num_free_blocks(), 9);
}

#[test]
fn refusals_change_nothing() {
    let mut cache = cache(4);
    cache.admit(A, &[0; 8]).unwrap();
    let no_room = Error::NoFreeBlocks { needed: 2, free: 1 };
    assert_eq!(cache.admit(B, &[0; 5]).unwrap_err(), no_room);
    assert_eq!(cache.append(A, 5).unwrap_err(), no_room);
    assert!(matches!(cache.append(A, usize::MAX), Err(Error::NoFreeBlocks { .. })));
    assert_eq!(cache.admit(A, &[0]).unwrap_err(), Error::SequenceExists(A));
    assert_eq!(cache.append(B, 1).unwrap_err(), Error::UnknownSequence(B));
    assert_eq!(cache.fork(B, SeqId(3)).unwrap_err(), Error::UnknownSequence(B));
    assert_eq!(cache.fork(A, A).unwrap_err(), Error::SequenceExists(A));
    assert_eq!(cache.truncate(A, 9).unwrap_err(), Error::Length { seq: A, num_tokens: 8, got: 9 });
    assert_eq!(cache.free(B).unwrap_err(), Error::UnknownSequence(B));
    assert_eq!((cache.num_free_blocks(), cache.num_sequences()), (1, 1));
    assert_eq!(cache.num_tokens(A).unwrap(), 8);
}

#[test]
fn bad_configurations_are_refused() {
    let new = |blocks, size| PagedCache::new(CacheConfig::new(blocks, size)).unwrap_err();
    assert_eq!(new(10, 0), Error::BlockSize(0));
    assert_eq!(new(10, 12), Error::BlockSize(12));
    assert_eq!(new(1, 16), Error::NumBlocks { got: 1 });
    assert_eq!(new(1 << 33, 16), Error::NumBlocks { got: 1 << 33 });
    let budget = CacheConfig::from_budget(100, 64, 16).unwrap_err();
    assert_eq!(budget, Error::Budget { budget: 100, block_bytes: 64, blocks: 1 });
    assert_eq!(CacheConfig::from_budget(100, 0, 16).unwrap_err(), Error::BlockBytes);
}

#[test]
fn a_budget_becomes_blocks() {
    let config = CacheConfig::from_budget(1 << 20, 1000, 16).unwrap();
    assert_eq!((config.num_blocks, config.num_tokens()), (1048, 1048 * 16));
    assert_eq!(CacheConfig::new(1536, 16).max_concurrency(16384, 16384), 1.5);
}

#[test]
fn an_admission_leaves_the_watermark() {
    let mut cache =
        PagedCache::new(CacheConfig { watermark: 2, ..CacheConfig::new(6, 4) }).unwrap();
    assert_eq!(cache.admit(A, &[0; 16]).unwrap_err(), Error::NoFreeBlocks { needed: 4, free: 3 });
    cache.admit(A, &[0; 12]).unwrap();
    cache.append(A, 8).unwrap();
    assert_eq!(cache.num_free_blocks(), 0);
}
