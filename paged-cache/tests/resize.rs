//! Resizing: nothing in use is lost, and what moves is told.

use paged_cache::{BlockCopy, BlockId, CacheConfig, Error, PagedCache, SeqId};

const A: SeqId = SeqId(0);
const B: SeqId = SeqId(1);

fn cache(num_blocks: usize) -> PagedCache {
    PagedCache::new(CacheConfig::new(num_blocks, 4)).unwrap()
}

fn admit(cache: &mut PagedCache, seq: SeqId, tokens: &[u32]) -> usize {
    let cached = cache.admit(seq, tokens).unwrap().cached_tokens;
    cache.commit(seq, &tokens[cached..]).unwrap();
    cached
}

#[test]
fn a_pool_grows() {
    let mut cache = cache(4);
    admit(&mut cache, A, &[1; 12]);
    assert!(cache.append(A, 1).is_err());
    assert_eq!(cache.resize(100), Ok(vec![]));
    assert_eq!((cache.num_free_blocks(), cache.config().num_blocks), (96, 100));
    cache.append(A, 200).unwrap();
    assert_eq!(cache.num_cached_tokens(&[1; 13]), Ok(12));
    cache.free(A).unwrap();
    assert_eq!(cache.num_free_blocks(), 99);
}

#[test]
fn a_pool_shrinks_around_what_is_in_use() {
    let mut cache = cache(20);
    admit(&mut cache, A, &[1; 40]);
    admit(&mut cache, B, &[2; 12]);
    let pin = cache.pin(B, 4).unwrap();
    cache.fork(B, SeqId(2)).unwrap();
    cache.free(A).unwrap();
    let copies = cache.resize(6).unwrap();
    let copy = |src: u32, dst: u32| BlockCopy { src: src.into(), dst: dst.into() };
    assert_eq!(copies.iter().map(|c| c.src.index()).collect::<Vec<_>>(), [11, 12, 13]);
    assert!(copies.iter().all(|c| c.dst.index() < 6));
    let places: Vec<BlockId> = copies.iter().map(|c| c.dst).collect();
    assert_eq!(cache.block_table(B).unwrap(), places);
    assert_eq!(cache.block_table(SeqId(2)).unwrap(), places);
    assert_ne!(copies[0], copy(11, 11));
    assert_eq!((cache.ref_count(places[0]), cache.ref_count(places[1])), (3, 2));
    assert_eq!((cache.num_free_blocks(), cache.stats().total_blocks), (2, 5));
    // What was moved is still found; of the other, what was left of its beginning.
    assert_eq!(cache.num_cached_tokens(&[2; 13]), Ok(12));
    assert_eq!(cache.num_cached_tokens(&[1; 41]), Ok(8));
    cache.free(B).unwrap();
    cache.free(SeqId(2)).unwrap();
    assert_eq!(cache.num_free_blocks(), 4);
    cache.unpin(pin).unwrap();
    assert_eq!(cache.num_free_blocks(), 5);
}

#[test]
fn what_is_in_use_bounds_the_shrinking() {
    let mut cache = cache(20);
    admit(&mut cache, A, &[1; 40]);
    assert_eq!(cache.resize(10), Err(Error::NoFreeBlocks { needed: 10, free: 9 }));
    assert_eq!(cache.resize(1), Err(Error::NumBlocks { got: 1 }));
    assert_eq!(cache.resize(1 << 40), Err(Error::NumBlocks { got: 1 << 40 }));
    assert_eq!(cache.num_free_blocks(), 9);
    assert_eq!(cache.resize(11), Ok(vec![]));
    assert_eq!(cache.num_free_blocks(), 0);
}
