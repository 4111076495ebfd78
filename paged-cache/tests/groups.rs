//! Block groups: windows let go and share what they look at, groups agree on a prefix, and the
//! arithmetic of capacity gives vLLM's figures.

use paged_cache::{
    Attention, BlockId, CacheConfig, Error, Group, PagedCache, Prompt, SeqId, SharedBlocks, Slot,
};

const A: SeqId = SeqId(0);

fn cache(num_blocks: usize, groups: &[Group]) -> PagedCache {
    let config = CacheConfig { groups: groups.to_vec(), ..CacheConfig::new(num_blocks, 16) };
    PagedCache::new(config).unwrap()
}

fn table(cache: &PagedCache, seq: u64, group: usize) -> Vec<u32> {
    let table = cache.group_block_table(SeqId(seq), group).unwrap();
    table.iter().copied().map(BlockId::index).collect()
}

/// The leading null blocks after `computed` tokens, when one more is added.
fn let_go(group: Group, computed: usize) -> usize {
    let mut cache = cache(100, &[group]);
    cache.admit(A, &vec![0; computed]).unwrap();
    cache.append(A, 1).unwrap();
    table(&cache, 0, 0).iter().take_while(|&&block| block == 0).count()
}

#[test]
fn a_sliding_window_lets_go_what_it_has_passed() {
    let window = Group::sliding_window(2, 4);
    let counts = [0, 4, 5, 6, 7, 11].map(|computed| let_go(window, computed));
    assert_eq!(counts, [0, 0, 1, 1, 2, 4]);
}

#[test]
fn a_chunk_lets_go_what_came_before_it() {
    let chunked = Group::chunked_local(2, 4);
    let counts = [0, 3, 4, 6, 12].map(|computed| let_go(chunked, computed));
    assert_eq!(counts, [0, 0, 2, 2, 6]);
}

#[test]
fn a_window_takes_what_it_lets_go() {
    // Five blocks and a window of two: a prompt of any length goes through, chunk by chunk.
    let mut cache = cache(6, &[Group::sliding_window(4, 8)]);
    let tokens: Vec<u32> = (0..400).collect();
    cache.admit(A, Prompt::new(&tokens).with_chunk(8)).unwrap();
    cache.commit(A, &tokens[..8]).unwrap();
    for start in (8..400).step_by(8) {
        let append = cache.append(A, 8).unwrap();
        assert_eq!(append.slots.len(), 8);
        cache.commit(A, &tokens[start..start + 8]).unwrap();
        assert!(cache.stats().used_blocks <= 4);
    }
    assert_eq!(table(&cache, 0, 0).len(), 100);
    assert_eq!(cache.slots(A, 0..4).unwrap_err(), Error::LetGo { seq: A, kept_from: 384, got: 0 });
    assert_eq!(cache.slots(A, 384..400).unwrap().len(), 16);
    let gone = Error::LetGo { seq: A, kept_from: 384, got: 376 };
    assert_eq!(cache.truncate(A, 385), Err(gone));
    cache.truncate(A, 396).unwrap();
    assert_eq!(cache.pin(A, 300).unwrap_err(), Error::LetGo { seq: A, kept_from: 384, got: 292 });
    cache.truncate(A, 0).unwrap();
    assert_eq!(cache.num_free_blocks(), 5);
}

/// The beginning of vLLM's `test_prefill_hybrid_model`.
#[test]
fn groups_share_what_each_still_needs() {
    let groups = [Group::full(16), Group::sliding_window(16, 32), Group::sliding_window(16, 32)];
    let mut cache = cache(21, &groups);
    let tokens: Vec<u32> = (0..55).map(|at| at / 16).collect();
    cache.admit(A, &tokens).unwrap();
    cache.commit(A, &tokens).unwrap();
    let tables = [0, 1, 2].map(|group| table(&cache, 0, group));
    assert_eq!(tables, [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]);
    assert_eq!(cache.admit(SeqId(1), &tokens[..53]).unwrap().cached_tokens, 48);
    let tables = [0, 1, 2].map(|group| table(&cache, 1, group));
    assert_eq!(tables, [[1, 2, 3, 13], [0, 6, 7, 14], [0, 10, 11, 15]]);
    cache.free(A).unwrap();
    cache.free(SeqId(1)).unwrap();
    assert_eq!(cache.num_free_blocks(), 20);
}

#[test]
fn a_prefix_is_as_long_as_its_shortest_group() {
    let groups = [Group::full(4), Group::sliding_window(4, 8)];
    let mut cache = cache(14, &groups);
    let tokens: Vec<u32> = (0..20).collect();
    cache.admit(A, &tokens).unwrap();
    cache.commit(A, &tokens).unwrap();
    cache.free(A).unwrap();
    // Groups free one after the other, each its tail first: the full group's tail is oldest.
    assert_eq!(cache.num_cached_tokens(&[&tokens[..], &[9]].concat()), Ok(20));
    cache.admit(SeqId(1), &[7; 8]).unwrap();
    assert_eq!(cache.stats().evictions, 1);
    assert_eq!(cache.num_cached_tokens(&[&tokens[..], &[9]].concat()), Ok(16));
}

#[test]
fn groups_of_different_block_sizes_agree_on_multiples_of_the_largest() {
    let mut cache = cache(40, &[Group::full(4), Group::full(16)]);
    let tokens: Vec<u32> = (0..60).collect();
    cache.admit(A, &tokens).unwrap();
    cache.commit(A, &tokens).unwrap();
    assert_eq!((table(&cache, 0, 0).len(), table(&cache, 0, 1).len()), (15, 4));
    assert_eq!(cache.num_cached_tokens(&tokens), Ok(48));
    assert_eq!(cache.num_cached_tokens(&tokens[..48]), Ok(32));
    let slots = cache.group_slots(A, 1, 16..18).unwrap();
    let second = table(&cache, 0, 1)[1] as usize;
    assert_eq!(slots.map(Slot::index).collect::<Vec<_>>(), [second * 16, second * 16 + 1]);
    let refused = cache.group_slots(A, 2, 0..1).unwrap_err();
    assert_eq!(refused, Error::UnknownGroup { got: 2, num_groups: 2 });
}

/// vLLM's `test_get_max_concurrency_for_kv_cache_config`: 16,384 tokens, steps of at most 1,024.
#[test]
fn concurrency_is_vllms() {
    let concurrency = |num_blocks, groups: &[Group]| {
        let config = CacheConfig { groups: groups.to_vec(), ..CacheConfig::new(num_blocks, 16) };
        config.max_concurrency(16384, 1024)
    };
    let (full, window) = (Group::full(16), Group::sliding_window(16, 1024));
    assert_eq!(window.attention.max_blocks(16, 16384, 1024), 129);
    assert_eq!(concurrency(1536, &[full]), 1.5);
    assert_eq!(concurrency(129 * 3, &[window]), 3.0);
    assert_eq!(concurrency((1024 + 129) * 3, &[full, window]), 3.0);
    assert_eq!(Attention::ChunkedLocal { chunk: 8192 }.max_blocks(16, 16384, 1024), 576);
    // 8 GiB for 32 layers of 32 heads of 128 in f16: one sequence of 16,384 tokens.
    let block_bytes = 16 * 2 * 32 * 128 * 2 * 32;
    let config = CacheConfig::from_budget(8 << 30, block_bytes, 16).unwrap();
    assert_eq!((config.num_blocks, config.num_tokens()), (1024, 16384));
}

/// What the window's 129 blocks promise holds when it runs.
#[test]
fn a_window_never_holds_more_than_promised() {
    for (window, step) in [(1024, 1024), (1000, 333), (17, 1), (16, 16), (1, 5)] {
        let group = Group::sliding_window(16, window);
        let mut cache = cache(400, &[group]);
        cache.admit(A, &[]).unwrap();
        let promised = group.attention.max_blocks(16, 20_000, step);
        let mut most = 0;
        while cache.num_tokens(A).unwrap() + step <= 20_000 {
            cache.append(A, step).unwrap();
            most = most.max(cache.stats().used_blocks);
        }
        assert!(most <= promised, "window {window}, step {step}: {most} of {promised}");
        assert!(
            most + 1 >= promised,
            "window {window}, step {step}: {promised} is too many for {most}"
        );
    }
}

#[test]
fn blocks_of_different_layers_share_a_budget() {
    // Twenty layers of FP8 with a window beside four of BF16 and two of F32: 20, 8 and 8 KiB a token.
    let layers = [
        (Attention::SlidingWindow { window: 512 }, 20 * 1024),
        (Attention::Full, 8 * 1024),
        (Attention::Full, 8 * 1024),
    ];
    let shared = SharedBlocks::new(16, &layers).unwrap();
    assert_eq!(
        shared.groups.iter().map(|group| group.block_size).collect::<Vec<_>>(),
        [16, 32, 32]
    );
    assert_eq!(shared.block_bytes, 16 * 20 * 1024);
    for (group, (_, bytes)) in shared.groups.iter().zip(layers) {
        let used = group.block_size as u64 * bytes;
        assert!(used <= shared.block_bytes && 2 * used > shared.block_bytes);
    }
    let config = shared.config(1 << 30).unwrap();
    assert_eq!(config.num_blocks, 3276);
    assert_eq!(config.max_blocks(4096, 256), 49 + 128 + 128);
    PagedCache::new(config).unwrap();
    assert_eq!(SharedBlocks::new(16, &[]).unwrap_err(), Error::NumGroups(0));
    assert_eq!(SharedBlocks::new(16, &[(Attention::Full, 0)]).unwrap_err(), Error::BlockBytes);
    assert_eq!(SharedBlocks::new(3, &layers).unwrap_err(), Error::BlockSize(3));
}

#[test]
fn bad_groups_are_refused() {
    let refused = |groups: Vec<Group>| {
        PagedCache::new(CacheConfig { groups, ..CacheConfig::new(9, 16) }).unwrap_err()
    };
    assert_eq!(refused(vec![]), Error::NumGroups(0));
    assert_eq!(refused(vec![Group::full(16); 256]), Error::NumGroups(256));
    assert_eq!(refused(vec![Group::full(16), Group::sliding_window(16, 0)]), Error::NoWindow(1));
    assert_eq!(refused(vec![Group::chunked_local(24, 8)]), Error::BlockSize(24));
}
