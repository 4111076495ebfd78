//! Events: a router that follows them knows what can be hit.

use paged_cache::{BlockRemoved, CacheConfig, Event, Group, PagedCache, Prompt, SeqId};

const A: SeqId = SeqId(0);

fn cache(num_blocks: usize) -> PagedCache {
    PagedCache::new(CacheConfig { events: true, ..CacheConfig::new(num_blocks, 16) }).unwrap()
}

fn drain(cache: &mut PagedCache) -> Vec<Event> {
    cache.drain_events().collect()
}

/// vLLM's `test_kv_cache_events`, with 2, 3 and 10 blocks.
#[test]
fn stored_removed_and_cleared() {
    for blocks in [2, 3, 10] {
        let mut cache = cache(blocks + 1);
        let tokens: Vec<u32> = (0..16 * blocks as u32).collect();
        cache.admit(A, &tokens).unwrap();
        assert_eq!(drain(&mut cache), []);
        cache.commit(A, &tokens).unwrap();
        let events = drain(&mut cache);
        let [Event::BlockStored(stored)] = &events[..] else { panic!("{events:?}") };
        assert_eq!(stored.block_hashes, cache.block_keys(A).unwrap());
        assert_eq!(stored.block_hashes.len(), blocks);
        assert_eq!((stored.parent_block_hash, stored.block_size), (None, 16));
        assert_eq!(stored.token_ids, tokens);
        assert_eq!((stored.kv_cache_spec_kind, stored.group_idx), ("full_attention", 0));
        assert_eq!((stored.medium, &stored.lora_name), ("GPU", &None));
        // Every block makes room, from the tail, and the other prompt is stored.
        cache.free(A).unwrap();
        let other: Vec<u32> = tokens.iter().map(|token| token + 1).collect();
        cache.admit(A, &other).unwrap();
        let removed = drain(&mut cache);
        let hashes = removed.iter().map(|event| match event {
            Event::BlockRemoved(BlockRemoved { block_hashes, medium: "GPU", group_idx: 0 }) => {
                block_hashes[0]
            }
            other => panic!("{other:?}"),
        });
        assert!(hashes.eq(stored.block_hashes.iter().rev().copied()));
        cache.commit(A, &other).unwrap();
        assert!(matches!(&drain(&mut cache)[..], [Event::BlockStored(_)]));
        cache.free(A).unwrap();
        cache.reset_prefix_cache().unwrap();
        assert_eq!(drain(&mut cache), [Event::AllBlocksCleared]);
    }
}

#[test]
fn later_blocks_name_their_parent_and_adapter() {
    let mut cache = cache(9);
    let tokens: Vec<u32> = (0..64).collect();
    cache.admit(A, Prompt::new(&tokens).with_lora("adapter").with_chunk(32)).unwrap();
    cache.commit(A, &tokens[..32]).unwrap();
    cache.append(A, 32).unwrap();
    cache.commit(A, &tokens[32..]).unwrap();
    let events = drain(&mut cache);
    let [Event::BlockStored(first), Event::BlockStored(second)] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(first.lora_name.as_deref(), Some("adapter"));
    assert_eq!(second.parent_block_hash, first.block_hashes.last().copied());
    assert_eq!(second.token_ids, tokens[32..]);
}

#[test]
fn a_key_is_stored_with_its_first_block_and_removed_with_its_last() {
    let mut cache = cache(4);
    let tokens: Vec<u32> = (0..16).collect();
    for seq in [SeqId(0), SeqId(1)] {
        cache.admit(seq, &tokens).unwrap();
        cache.commit(seq, &tokens).unwrap();
    }
    assert_eq!(cache.stats().indexed_blocks, 2);
    assert_eq!(drain(&mut cache).len(), 1);
    cache.free(SeqId(0)).unwrap();
    cache.admit(SeqId(2), &[7; 32]).unwrap();
    assert_eq!((cache.stats().evictions, drain(&mut cache).len()), (1, 0));
    cache.free(SeqId(1)).unwrap();
    cache.admit(SeqId(3), &[8; 16]).unwrap();
    assert!(matches!(&drain(&mut cache)[..], [Event::BlockRemoved(_)]));
}

#[test]
fn groups_tell_their_kind() {
    let groups = vec![Group::full(16), Group::sliding_window(16, 40), Group::chunked_local(32, 64)];
    let config = CacheConfig { groups, events: true, ..CacheConfig::new(40, 16) };
    let mut cache = PagedCache::new(config).unwrap();
    let tokens: Vec<u32> = (0..64).collect();
    cache.admit(A, &tokens).unwrap();
    cache.commit(A, &tokens).unwrap();
    let kinds: Vec<_> = drain(&mut cache)
        .into_iter()
        .map(|event| match event {
            Event::BlockStored(s) => (s.kv_cache_spec_kind, s.group_idx, s.block_hashes.len()),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected =
        [("full_attention", 0, 4), ("sliding_window", 1, 4), ("chunked_local_attention", 2, 2)];
    assert_eq!(kinds, expected);
}

#[test]
fn without_being_asked_nothing_is_told() {
    let mut cache = PagedCache::new(CacheConfig::new(9, 16)).unwrap();
    cache.admit(A, &[1; 32]).unwrap();
    cache.commit(A, &[1; 32]).unwrap();
    assert_eq!(drain(&mut cache), []);
}
