//! Prefix caching behaves as vLLM's tests of it say (`tests/v1/core/test_prefix_caching.py`): their
//! cases, with their numbers where they have any. Blocks hold 16 tokens.

use paged_cache::{BlockId, CacheConfig, Error, PagedCache, Prompt, SeqId};

fn cache(num_blocks: usize) -> PagedCache {
    PagedCache::new(CacheConfig::new(num_blocks, 16)).unwrap()
}

/// Admits a prompt and commits all of it; returns how many tokens were hits.
fn admit<'p>(cache: &mut PagedCache, seq: u64, tokens: &[u32], prompt: Prompt<'p>) -> usize {
    let cached = cache.admit(SeqId(seq), prompt).unwrap().cached_tokens;
    cache.commit(SeqId(seq), &tokens[cached..]).unwrap();
    cached
}

fn plain(cache: &mut PagedCache, seq: u64, tokens: &[u32]) -> usize {
    admit(cache, seq, tokens, Prompt::new(tokens))
}

fn table(cache: &PagedCache, seq: u64) -> Vec<u32> {
    cache.block_table(SeqId(seq)).unwrap().iter().map(|block| block.index()).collect()
}

fn free(cache: &mut PagedCache, seq: u64) {
    cache.free(SeqId(seq)).unwrap();
}

/// Three full blocks, then as many tokens of another kind.
fn common(other: u32, count: usize) -> Vec<u32> {
    let mut tokens: Vec<u32> = (0..48).map(|at| at / 16).collect();
    tokens.extend(std::iter::repeat_n(other, count));
    tokens
}

#[test]
fn prefill_shares_and_evicts_in_order() {
    let mut cache = cache(11);
    assert_eq!(plain(&mut cache, 0, &common(3, 7)), 0);
    assert_eq!(table(&cache, 0), [1, 2, 3, 4]);
    assert_eq!(plain(&mut cache, 1, &common(3, 5)), 48);
    assert_eq!(table(&cache, 1), [1, 2, 3, 5]);
    assert_eq!([1, 2, 3, 4].map(|block| cache.ref_count(BlockId::from(block))), [2, 2, 2, 1]);
    assert_eq!(cache.num_free_blocks(), 5);
    free(&mut cache, 0);
    free(&mut cache, 1);
    assert_eq!(cache.num_free_blocks(), 10);
    // Still found when its blocks are free; the partly filled block freed last is used first.
    assert_eq!(plain(&mut cache, 2, &common(3, 6)), 48);
    assert_eq!(table(&cache, 2), [1, 2, 3, 5]);
    assert_eq!(cache.num_free_blocks(), 6);
    free(&mut cache, 2);
    // Blank blocks, unused ones, and then the cached prefix from its end.
    assert_eq!(plain(&mut cache, 3, &[99; 160]), 0);
    assert_eq!(table(&cache, 3), [5, 4, 6, 7, 8, 9, 10, 3, 2, 1]);
    assert_eq!((cache.num_free_blocks(), cache.stats().evictions), (0, 3));
}

#[test]
fn blocks_are_cached_as_decoding_fills_them() {
    let mut cache = cache(11);
    plain(&mut cache, 0, &common(3, 7));
    let seq = SeqId(0);
    cache.append(seq, 4).unwrap();
    cache.commit(seq, &[8; 4]).unwrap();
    assert_eq!(table(&cache, 0).len(), 4);
    assert!(!cache.is_cached(BlockId::from(4)));
    cache.append(seq, 19).unwrap();
    cache.commit(seq, &[7; 19]).unwrap();
    assert_eq!(table(&cache, 0).len(), 5);
    assert!(cache.is_cached(BlockId::from(4)));
    assert!(!cache.is_cached(BlockId::from(5)));
    // An answer is a prefix of the next question.
    let mut next = common(3, 7);
    next.extend([[8].repeat(4), [7].repeat(19), vec![1, 2, 3]].concat());
    assert_eq!(plain(&mut cache, 1, &next), 64);
}

#[test]
fn a_hit_never_covers_the_last_token() {
    let mut cache = cache(11);
    plain(&mut cache, 0, &common(0, 0));
    assert_eq!(plain(&mut cache, 1, &common(0, 0)), 32);
    assert_eq!(plain(&mut cache, 2, &common(0, 1)), 48);
    assert_eq!(cache.num_cached_tokens(&[]), Ok(0));
}

#[test]
fn eviction_takes_the_least_recently_used() {
    let mut cache = cache(11);
    let tokens: Vec<u32> = (0..135).collect();
    plain(&mut cache, 0, &tokens[..87]);
    plain(&mut cache, 1, &tokens[87..]);
    assert_eq!(cache.num_free_blocks(), 1);
    free(&mut cache, 0);
    free(&mut cache, 1);
    // Touch the first two.
    assert_eq!(plain(&mut cache, 2, &tokens[..35]), 32);
    assert_eq!(table(&cache, 2), [1, 2, 6]);
    assert_eq!(cache.num_free_blocks(), 7);
    // What is left goes in this order: the unused one, the first sequence's tail, the second's.
    plain(&mut cache, 3, &[7; 7 * 16]);
    assert_eq!(table(&cache, 3), [10, 5, 4, 3, 9, 8, 7]);
}

#[test]
fn a_reused_block_loses_its_key() {
    let mut cache = cache(2);
    let tokens: Vec<u32> = (0..16).collect();
    plain(&mut cache, 0, &tokens);
    assert!(cache.is_cached(BlockId::from(1)));
    free(&mut cache, 0);
    plain(&mut cache, 1, &tokens[..15]);
    assert!(!cache.is_cached(BlockId::from(1)));
}

#[test]
fn a_hit_is_not_evicted_for_its_own_sequence() {
    let mut cache = cache(3);
    let tokens: Vec<u32> = (0..32).collect();
    plain(&mut cache, 0, &tokens[..16]);
    plain(&mut cache, 1, &tokens[16..]);
    free(&mut cache, 0);
    free(&mut cache, 1);
    assert_eq!(plain(&mut cache, 2, &tokens), 16);
    assert_eq!(table(&cache, 2), [1, 2]);
}

#[test]
fn without_prefix_caching_nothing_is_shared() {
    let config = CacheConfig { prefix_caching: false, ..CacheConfig::new(5, 4) };
    let mut cache = PagedCache::new(config).unwrap();
    let tokens: Vec<u32> = (0..16).collect();
    plain(&mut cache, 1, &tokens[..10]);
    free(&mut cache, 1);
    assert_eq!(plain(&mut cache, 2, &tokens), 0);
    let refused = cache.admit(SeqId(3), &[1, 2, 3, 4]).unwrap_err();
    assert_eq!(refused, Error::NoFreeBlocks { needed: 1, free: 0 });
}

#[test]
fn a_refused_admission_touches_no_shared_block() {
    let mut cache = cache(11);
    let thrice = common(0, 0).repeat(3);
    plain(&mut cache, 0, &thrice[..48]);
    assert_eq!(plain(&mut cache, 1, &thrice[..96]), 48);
    free(&mut cache, 1);
    plain(&mut cache, 2, &[7; 32]);
    assert_eq!(cache.num_free_blocks(), 5);
    // Six blocks are cached, three of them free; three more are needed: six of five.
    let refused = cache.admit(SeqId(3), &thrice).unwrap_err();
    assert_eq!(refused, Error::NoFreeBlocks { needed: 6, free: 5 });
    assert_eq!([1, 2, 3, 4, 5, 6].map(|b| cache.ref_count(BlockId::from(b))), [1, 1, 1, 0, 0, 0]);
    assert_eq!(cache.num_cached_tokens(&thrice), Ok(96));
}

#[test]
fn salts_and_adapters_keep_apart() {
    let mut cache = cache(40);
    let (tokens, other) = (common(3, 11), common(4, 11));
    let salted = |salt| Prompt::new(&tokens).with_salt(salt);
    assert_eq!(admit(&mut cache, 0, &tokens, salted(b"salt1")), 0);
    assert_eq!(admit(&mut cache, 1, &other, Prompt::new(&other).with_salt(b"salt1")), 48);
    assert_eq!(admit(&mut cache, 2, &tokens, salted(b"salt2")), 0);
    assert_eq!(admit(&mut cache, 3, &tokens, Prompt::new(&tokens)), 0);
    assert_eq!(admit(&mut cache, 4, &tokens, Prompt::new(&tokens).with_lora("salt1")), 0);
    assert_eq!(admit(&mut cache, 5, &other, Prompt::new(&other).with_lora("salt1")), 48);
    assert_eq!(plain(&mut cache, 6, &other), 48);
}

#[test]
fn caches_of_other_identities_make_other_keys() {
    let key = |identity| {
        let mut cache =
            PagedCache::new(CacheConfig { identity, ..CacheConfig::new(9, 16) }).unwrap();
        plain(&mut cache, 0, &common(0, 0));
        cache.block_keys(SeqId(0)).unwrap().to_vec()
    };
    let scales = |scale: &[u8]| paged_cache::identity([b"model".as_slice(), b"fp8_e4m3", scale]);
    assert_eq!(key(scales(b"1.0")), key(scales(b"1.0")));
    assert_ne!(key(scales(b"1.0"))[0], key(scales(b"0.5"))[0]);
}

#[test]
fn images_are_told_apart_by_their_hashes() {
    // Text, an image at 11..21, text, an image at 30..48, then an image at 48..55.
    let mut cache = cache(40);
    let mut tokens = vec![9_u32; 59];
    tokens[..10].fill(1);
    tokens[21..30].fill(2);
    let images = |last: &'static [u8]| [(11..21, &b"aaa"[..]), (30..48, b"bbb"), (48..55, last)];
    let with = |cache: &mut PagedCache, seq, last| {
        let mut longer = tokens.clone();
        longer.extend([8; 5]);
        admit(cache, seq, &longer, Prompt::new(&longer).with_extras(&images(last)))
    };
    assert_eq!(with(&mut cache, 0, b"ccc"), 0);
    assert_eq!(with(&mut cache, 1, b"ddd"), 48);
    let mut swapped = images(b"ccc");
    swapped.reverse();
    let mut longer = tokens.clone();
    longer.extend([8; 6]);
    let same = Prompt::new(&longer).with_extras(&swapped);
    assert_eq!(
        admit(&mut cache, 2, &longer, same),
        64,
        "the order of the extras counts for nothing"
    );
    assert_eq!(plain(&mut cache, 3, &longer), 0);
    let empty = [(5..5, &b"x"[..])];
    let refused = cache.admit(SeqId(4), Prompt::new(&longer).with_extras(&empty)).unwrap_err();
    assert_eq!(refused, Error::EmptyExtra { start: 5, end: 5 });
}

#[test]
fn a_prompt_may_be_computed_anew() {
    let mut cache = cache(11);
    let tokens = common(3, 7);
    plain(&mut cache, 0, &tokens);
    assert_eq!(admit(&mut cache, 1, &tokens, Prompt::new(&tokens).computed_anew()), 0);
    // The same content twice: when one copy goes, the other is still found.
    free(&mut cache, 0);
    assert_eq!(table(&cache, 1), [5, 6, 7, 8]);
    plain(&mut cache, 2, &[7; 6 * 16]);
    assert_eq!(table(&cache, 2), [4, 9, 10, 3, 2, 1]);
    assert_eq!(cache.num_cached_tokens(&tokens), Ok(48));
}

#[test]
fn identical_blocks_are_given_up_when_asked() {
    let config = CacheConfig { deduplicate: true, ..CacheConfig::new(11, 16) };
    let mut cache = PagedCache::new(config).unwrap();
    let tokens = common(3, 7);
    // Both are computed side by side, since neither is committed when the other comes.
    cache.admit(SeqId(0), &tokens).unwrap();
    assert_eq!(cache.admit(SeqId(1), &tokens).unwrap().cached_tokens, 0);
    cache.commit(SeqId(0), &tokens).unwrap();
    cache.commit(SeqId(1), &tokens).unwrap();
    assert_eq!(table(&cache, 1), [1, 2, 3, 8]);
    assert_eq!(cache.num_free_blocks(), 5);
}

#[test]
fn nothing_is_found_before_it_is_committed() {
    let mut cache = cache(11);
    let tokens = common(3, 7);
    cache.admit(SeqId(0), Prompt::new(&tokens).with_chunk(32)).unwrap();
    assert_eq!(cache.num_tokens(SeqId(0)), Ok(32));
    assert_eq!(cache.num_cached_tokens(&tokens), Ok(0));
    cache.commit(SeqId(0), &tokens[..32]).unwrap();
    assert_eq!(cache.num_cached_tokens(&tokens), Ok(32));
    assert_eq!(cache.append(SeqId(0), 23).unwrap().slots.positions(), 32..55);
    assert_eq!(cache.num_cached_tokens(&tokens), Ok(32));
    cache.commit(SeqId(0), &tokens[32..]).unwrap();
    assert_eq!(cache.num_cached_tokens(&tokens), Ok(48));
}

#[test]
fn draft_tokens_roll_back() {
    let mut cache = cache(6);
    let tokens = common(3, 14);
    plain(&mut cache, 0, &tokens);
    let seq = SeqId(0);
    assert!(cache.reserve(seq, 5).unwrap().is_empty());
    assert_eq!((cache.num_tokens(seq).unwrap(), table(&cache, 0).len()), (62, 5));
    // Five drafted, two accepted.
    cache.append(seq, 5).unwrap();
    cache.truncate(seq, 64).unwrap();
    cache.commit(seq, &[5, 6]).unwrap();
    assert_eq!(cache.num_committed_tokens(seq), Ok(64));
    assert_eq!((table(&cache, 0).len(), cache.num_free_blocks()), (4, 1));
    assert!(cache.is_cached(BlockId::from(4)));
    // Back into a block that others may read: it is copied, not written.
    cache.truncate(seq, 60).unwrap();
    let copies = cache.append(seq, 1).unwrap().copies.to_vec();
    assert_eq!((copies.len(), copies[0].src, copies[0].dst), (1, 4.into(), 5.into()));
}

#[test]
fn a_reset_waits_until_nothing_is_in_use() {
    let mut cache = cache(11);
    plain(&mut cache, 0, &common(3, 7));
    plain(&mut cache, 1, &common(4, 7));
    assert_eq!(cache.reset_prefix_cache(), Err(Error::InUse(5)));
    assert_eq!(cache.num_cached_tokens(&common(3, 7)), Ok(48));
    free(&mut cache, 0);
    free(&mut cache, 1);
    cache.reset_prefix_cache().unwrap();
    assert_eq!(cache.num_cached_tokens(&common(3, 7)), Ok(0));
    assert_eq!(cache.stats().indexed_blocks, 0);
    assert_eq!(cache.num_free_blocks(), 10);
}

#[test]
fn forks_must_not_commit_different_tokens_for_one_block() {
    let mut cache = cache(11);
    cache.admit(SeqId(0), &common(3, 0)).unwrap();
    cache.fork(SeqId(0), SeqId(1)).unwrap();
    cache.commit(SeqId(0), &common(3, 0)).unwrap();
    let mut other = common(3, 0);
    other[20] = 77;
    let differs = Error::CommitDiffers { seq: SeqId(1), position: 16 };
    assert_eq!(cache.commit(SeqId(1), &other), Err(differs));
    assert_eq!(cache.num_committed_tokens(SeqId(1)), Ok(0));
    cache.commit(SeqId(1), &common(3, 0)).unwrap();
}

#[test]
fn pins_hold_a_prefix_for_nobody() {
    let mut cache = cache(6);
    let tokens = common(3, 7);
    plain(&mut cache, 0, &tokens);
    let refused = Error::Length { seq: SeqId(0), num_tokens: 55, got: 56 };
    assert_eq!(cache.pin(SeqId(0), 56), Err(refused));
    let pin = cache.pin(SeqId(0), 40).unwrap();
    free(&mut cache, 0);
    assert_eq!(cache.stats().used_blocks, 2);
    let full = Error::NoFreeBlocks { needed: 4, free: 3 };
    assert_eq!(cache.admit(SeqId(1), &[7; 64]).unwrap_err(), full);
    plain(&mut cache, 1, &[7; 48]);
    assert_eq!(cache.num_cached_tokens(&tokens), Ok(32));
    cache.unpin(pin).unwrap();
    assert_eq!(cache.unpin(pin), Err(Error::UnknownPin(pin)));
    assert_eq!(cache.num_free_blocks(), 2);
    assert_eq!(cache.num_cached_tokens(&tokens), Ok(32));
}

#[test]
fn statistics_count_tokens() {
    let mut cache = cache(11);
    assert_eq!(cache.stats().hit_rate(), 0.0);
    plain(&mut cache, 0, &common(3, 2));
    let earlier = cache.stats();
    plain(&mut cache, 1, &common(3, 16));
    let stats = cache.stats();
    assert_eq!((stats.query_tokens, stats.hit_tokens, stats.requests), (114, 48, 2));
    assert_eq!(stats.since(&earlier).hit_rate(), 0.75);
    assert_eq!((stats.used_blocks, stats.usage()), (5, 0.5));
    assert_eq!(cache.preemption_order(), [SeqId(1), SeqId(0)]);
    cache.preempt(SeqId(1)).unwrap();
    assert_eq!(cache.stats().preemptions, 1);
    // Computed again: the prompt is still there, and the answer that was committed with it.
    assert_eq!(plain(&mut cache, 1, &common(3, 17)), 64);
}
