//! The map of blocks, letter by letter.

use paged_cache::{CacheConfig, PagedCache, SeqId};

#[test]
fn every_kind_of_block_has_its_mark() {
    let mut cache = PagedCache::new(CacheConfig::new(21, 4)).unwrap();
    let tokens: Vec<u32> = (0..30).collect();
    for seq in [7, 8, 9] {
        let cached =
            cache.admit(SeqId(seq), &tokens[..22 + seq as usize - 7]).unwrap().cached_tokens;
        cache.commit(SeqId(seq), &tokens[cached..22 + seq as usize - 7]).unwrap();
    }
    cache.pin(SeqId(9), 8).unwrap();
    cache.admit(SeqId(3), &[50; 9]).unwrap();
    cache.admit(SeqId(4), &[60; 9]).unwrap();
    cache.commit(SeqId(4), &[60; 9]).unwrap();
    cache.free(SeqId(4)).unwrap();
    cache.free(SeqId(8)).unwrap();
    let expected = "\
10 of 20 blocks used, 10 free (2 can be hit), hit rate 46%
       1 33222B-CAAA++-······
";
    let map = cache.to_string();
    assert!(map.contains("sequence 3: 9 tokens, 3 blocks"), "{map}");
    let lines: Vec<&str> = map.lines().collect();
    assert_eq!(lines[..2].join("\n") + "\n", expected, "{map}");
}

#[test]
fn a_large_pool_fits_a_screen() {
    let mut cache = PagedCache::new(CacheConfig::new(1_000_000, 16)).unwrap();
    for seq in 0..30 {
        cache.admit(SeqId(seq), &[]).unwrap();
        cache.append(SeqId(seq), 16 * 10_000).unwrap();
    }
    let map = cache.to_string();
    assert!(map.lines().count() <= 16 + 1 + 26 + 1, "{map}");
    assert!(map.contains("# 4 more sequences"), "{map}");
    assert!(map.contains("AAAAAAAAAABBBBBBBBBB"), "{map}");
}
