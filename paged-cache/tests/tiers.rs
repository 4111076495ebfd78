//! Tiers: what is offloaded is found again, what is under way is held, and a swapped sequence comes
//! back as it was.

use paged_cache::{BlockId, CacheConfig, Error, Event, Move, PagedCache, Place, SeqId, Tier};

const A: SeqId = SeqId(0);
const B: SeqId = SeqId(1);

fn cache(num_blocks: usize, tiers: &[usize]) -> PagedCache {
    let tiers = tiers.iter().map(|&num_blocks| Tier { medium: "CPU", num_blocks }).collect();
    PagedCache::new(CacheConfig { tiers, events: true, ..CacheConfig::new(num_blocks, 4) }).unwrap()
}

fn admit(cache: &mut PagedCache, seq: SeqId, tokens: &[u32]) -> (usize, Vec<Move>) {
    let admission = cache.admit(seq, tokens).unwrap();
    let (cached, loads) = (admission.cached_tokens, admission.loads.to_vec());
    for &load in &loads {
        cache.finish(load).unwrap();
    }
    cache.commit(seq, &tokens[cached..]).unwrap();
    (cached, loads)
}

fn text(n: u32) -> Vec<u32> {
    (0..n).collect()
}

fn place(level: u8, block: u32) -> Place {
    Place { level, block: block.into() }
}

#[test]
fn offloaded_blocks_are_found_after_their_eviction() {
    let mut cache = cache(5, &[9]);
    admit(&mut cache, A, &text(12));
    cache.free(A).unwrap();
    // The next to be evicted goes first, and no further than asked.
    let moves = cache.offload(0, 2).unwrap().to_vec();
    assert_eq!(
        moves,
        [Move { from: place(0, 3), to: place(1, 1) }, Move { from: place(0, 2), to: place(1, 2) },]
    );
    assert_eq!(cache.stats().used_blocks, 2, "both ends are held");
    assert_eq!(cache.reset_prefix_cache(), Err(Error::InUse(4)));
    assert_eq!(cache.resize(9).unwrap_err(), Error::MovesInFlight(2));
    moves.iter().for_each(|&m| cache.finish(m).unwrap());
    assert_eq!(cache.finish(moves[0]), Err(Error::UnknownMove(moves[0])));
    // What is below already is not moved again.
    let more = cache.offload(0, 9).unwrap().to_vec();
    assert_eq!(more, [Move { from: place(0, 1), to: place(1, 3) }]);
    cache.fail(more[0]).unwrap();
    // All of the device goes to another; the failed block is lost, so the prefix is.
    admit(&mut cache, B, &[9; 16]);
    assert_eq!(cache.num_cached_tokens(&text(13)), Ok(0));
    cache.free(B).unwrap();
    // Computed again, the first block joins the two on the tier.
    admit(&mut cache, A, &text(5));
    assert_eq!(cache.num_cached_tokens(&text(13)), Ok(12));
    cache.free(A).unwrap();
    let (cached, loads) = admit(&mut cache, B, &text(13));
    assert_eq!(cached, 12);
    assert_eq!(loads.iter().map(|load| load.from).collect::<Vec<_>>(), [place(1, 2), place(1, 1)]);
    assert_eq!(cache.num_moves_in_flight(), 0);
    assert!(cache.is_cached(loads[0].to.block));
}

#[test]
fn tiers_pass_on_to_tiers() {
    let mut cache = cache(4, &[4, 9]);
    for n in 0..5 {
        let tokens: Vec<u32> = text(12).iter().map(|t| t + 100 * n).collect();
        admit(&mut cache, A, &tokens);
        cache.free(A).unwrap();
        for level in 0..2 {
            for m in cache.offload(level, 3).unwrap().to_vec() {
                cache.finish(m).unwrap();
            }
        }
    }
    // The device and the first tier hold the last; the second tier the last two and a part more.
    assert_eq!(cache.num_cached_tokens(&(400..413).collect::<Vec<u32>>()), Ok(12));
    assert_eq!(cache.num_cached_tokens(&(300..313).collect::<Vec<u32>>()), Ok(12));
    assert_eq!(cache.num_cached_tokens(&(0..13).collect::<Vec<u32>>()), Ok(0));
    let admission = cache.admit(B, &(300..312).collect::<Vec<u32>>()).unwrap();
    assert_eq!(admission.cached_tokens, 8);
    assert!(admission.loads.iter().all(|load| load.from.level == 2));
    assert_eq!(cache.offload(2, 1).unwrap_err(), Error::NoTier(2));
}

#[test]
fn a_freed_sequence_leaves_its_loads_alone() {
    let mut cache = cache(4, &[9]);
    admit(&mut cache, A, &text(8));
    cache.free(A).unwrap();
    cache.offload(0, 9).unwrap().to_vec().into_iter().for_each(|m| cache.finish(m).unwrap());
    admit(&mut cache, B, &[9; 12]);
    cache.free(B).unwrap();
    let loads = cache.admit(A, &text(9)).unwrap().loads.to_vec();
    assert_eq!(loads.len(), 2);
    cache.free(A).unwrap();
    // Still being written: not to be taken.
    assert_eq!(cache.admit(B, &[8; 8]).unwrap_err(), Error::NoFreeBlocks { needed: 2, free: 1 });
    loads.iter().for_each(|&load| cache.finish(load).unwrap());
    assert_eq!(cache.num_free_blocks(), 3);
    assert_eq!(cache.num_cached_tokens(&text(9)), Ok(8));
}

#[test]
fn a_sequence_is_swapped_out_and_in() {
    let mut cache = cache(5, &[5]);
    admit(&mut cache, A, &text(10));
    assert_eq!(cache.swap_in(A).unwrap_err(), Error::NotSwappedOut(A));
    cache.reserve(A, 6).unwrap();
    let out = cache.swap_out(A).unwrap().to_vec();
    assert_eq!(out.len(), 3, "the block in reserve stays behind");
    assert_eq!(cache.swap_in(A).unwrap_err(), Error::MovesInFlight(3));
    assert_eq!(cache.append(A, 1).unwrap_err(), Error::SwappedOut(A));
    assert_eq!(cache.commit(A, &[]).unwrap_err(), Error::SwappedOut(A));
    assert_eq!(cache.preemption_order(), []);
    out.iter().for_each(|&m| cache.finish(m).unwrap());
    assert_eq!((cache.num_free_blocks(), cache.num_tokens(A)), (4, Ok(10)));
    // The device is needed by another for all but one block.
    admit(&mut cache, B, &[9; 12]);
    assert_eq!(cache.swap_in(A).unwrap_err(), Error::NoFreeBlocks { needed: 3, free: 1 });
    cache.free(B).unwrap();
    let back = cache.swap_in(A).unwrap().to_vec();
    let from: Vec<_> = back.iter().map(|m| m.from).collect();
    assert_eq!(from, out.iter().map(|m| m.to).collect::<Vec<_>>()[3 - back.len()..]);
    back.iter().for_each(|&m| cache.finish(m).unwrap());
    cache.append(A, 2).unwrap();
    cache.commit(A, &[10, 11]).unwrap();
    assert_eq!(cache.num_cached_tokens(&text(13)), Ok(12));
    cache.free(A).unwrap();
    assert_eq!(cache.num_free_blocks(), 4);
    assert_eq!(cache.stats().preemptions, 1);
}

#[test]
fn a_swap_moves_no_more_than_it_must() {
    let mut cache = cache(9, &[5]);
    admit(&mut cache, A, &text(10));
    cache.fork(A, B).unwrap();
    // The fork keeps the full blocks on the device: only the partly filled one must come back.
    let out = cache.swap_out(A).unwrap().to_vec();
    out.iter().for_each(|&m| cache.finish(m).unwrap());
    assert_eq!(cache.swap_out(B).unwrap().len(), 1, "the tier has the full ones already");
    assert_eq!(cache.swap_in(B).unwrap_err(), Error::MovesInFlight(1));
    assert_eq!(cache.swap_in(A).unwrap().len(), 1);
    let mut none = PagedCache::new(CacheConfig::new(9, 4)).unwrap();
    admit(&mut none, A, &text(10));
    assert_eq!(none.swap_out(A).unwrap_err(), Error::NoTier(0));
    let mut small = self::cache(9, &[3]);
    admit(&mut small, A, &text(10));
    assert_eq!(small.swap_out(A).unwrap_err(), Error::NoFreeBlocks { needed: 3, free: 2 });
    assert_eq!(small.append(A, 1).unwrap().slots.len(), 1);
}

#[test]
fn tiers_tell_what_they_hold() {
    let mut cache = cache(5, &[9]);
    admit(&mut cache, A, &text(4));
    let key = cache.block_keys(A).unwrap()[0];
    cache.free(A).unwrap();
    let m = cache.offload(0, 9).unwrap()[0];
    let before: Vec<_> = cache.drain_events().collect();
    assert_eq!(before.len(), 1);
    cache.finish(m).unwrap();
    let events: Vec<_> = cache.drain_events().collect();
    let [Event::BlockStored(stored)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((stored.medium, &stored.block_hashes[..]), ("CPU", &[key][..]));
    assert!(stored.token_ids.is_empty() && stored.parent_block_hash.is_none());
    assert!(cache.is_cached(place(1, 1)));
    assert!(!cache.is_cached(place(7, 1)) && cache.ref_count(BlockId::from(99)) == 0);
}
