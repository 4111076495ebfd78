//! How much of a prompt is in the cache: the longest prefix that every group can go on from.

use crate::cache::Layout;
use crate::group::{Attention, Group};
use crate::ids::BlockId;
use crate::key::{BlockKey, Extra};
use crate::level::Level;
use crate::moves::Place;
use crate::sequence::{Chain, Sequence};

/// The blocks that were found, per group; null where a group needs none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lookup {
    pub(crate) found: Vec<Vec<Place>>,
}

impl Lookup {
    /// The tokens of the longest usable prefix, at most `max_tokens`. Leaves the keys it needed in
    /// the sequence's chains and the blocks in `found`.
    pub(crate) fn longest_prefix(
        &mut self,
        layout: &Layout,
        levels: &[Level],
        sequence: &mut Sequence,
        tokens: &[u32],
        max_tokens: usize,
    ) -> usize {
        self.found.resize_with(layout.groups.len(), Vec::new);
        self.found.iter_mut().for_each(Vec::clear);
        let aligned = |tokens: usize| tokens - tokens % layout.alignment;
        let Sequence { chains, extras, .. } = sequence;
        let mut prefix = aligned(max_tokens);
        // A group may only ever shorten the prefix, after which the others must look again: what a
        // window needs depends on where the prefix ends.
        loop {
            let before = prefix;
            for &at in &layout.order {
                let group = &layout.groups[at];
                let keys = &mut chains[layout.chain_of[at]];
                let search = Search { levels, group, group_index: at as u8, tokens, extras };
                let found = &mut self.found[at];
                let blocks = match group.attention {
                    Attention::Full => search.leading(keys, found, prefix),
                    _ => search.trailing(keys, found, prefix),
                };
                prefix = aligned(blocks * group.block_size);
            }
            if prefix == before {
                break;
            }
        }
        for (found, group) in self.found.iter_mut().zip(&layout.groups) {
            found.truncate(group.full_blocks(prefix));
        }
        prefix
    }
}

/// One group's part of a look-up.
struct Search<'a> {
    levels: &'a [Level],
    group: &'a Group,
    group_index: u8,
    tokens: &'a [u32],
    extras: &'a [Extra],
}

impl Search<'_> {
    fn find(&self, key: &BlockKey) -> Option<Place> {
        let mut levels = self.levels.iter().zip(0..);
        levels.find_map(|(level, number)| {
            let block = level.index.find(key, self.group_index)?;
            Some(Place { level: number, block })
        })
    }

    /// The leading blocks that are all there. Keys are computed only as far as blocks are found.
    fn leading(&self, chain: &mut Chain, found: &mut Vec<Place>, max_tokens: usize) -> usize {
        let max_blocks = self.group.full_blocks(max_tokens);
        while found.len() < max_blocks {
            let at = found.len();
            chain.extend(self.tokens, at + 1, self.extras);
            let Some(place) = self.find(&chain.keys[at]) else { break };
            found.push(place);
        }
        found.len().min(max_blocks)
    }

    /// The most leading blocks such that those the next token looks at are all there. The others
    /// become null.
    fn trailing(&self, chain: &mut Chain, found: &mut Vec<Place>, max_tokens: usize) -> usize {
        let mut end = self.group.full_blocks(max_tokens);
        chain.extend(self.tokens, end, self.extras);
        found.clear();
        found.resize(end, Place { level: 0, block: BlockId::NULL });
        let mut at = end;
        while at > self.group.skipped_blocks(end * self.group.block_size) {
            at -= 1;
            match self.find(&chain.keys[at]) {
                Some(place) => found[at] = place,
                None => {
                    end = at;
                    found.truncate(end);
                }
            }
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CacheConfig;
    use crate::events::EventLog;

    /// The blocks of a hit, when of the prompt's blocks of 2 tokens those with a 1 are cached; `tail`
    /// more tokens follow.
    fn hit(attention: Attention, cached: &str, tail: usize) -> Vec<bool> {
        let group = Group { attention, block_size: 2 };
        let config = CacheConfig { groups: vec![group], ..CacheConfig::new(100, 2) };
        let layout = Layout::new(&config);
        let tokens: Vec<u32> = (0..cached.len() as u32 * 2 + tail as u32).collect();
        let (block_size, root) = layout.roots[0];
        let mut chain = Chain { block_size, root, keys: Vec::new() };
        chain.extend(&tokens, cached.len(), &[]);
        let mut level = Level::new(100, true, "GPU");
        for (key, _) in chain.keys.iter().zip(cached.bytes()).filter(|(_, mark)| *mark == b'1') {
            let block = level.take(&mut EventLog::default()).unwrap();
            level.remember(block, key, 0);
        }
        let mut sequence = Sequence::default();
        sequence.chains.push(Chain { keys: Vec::new(), ..chain });
        let mut lookup = Lookup::default();
        let length = lookup.longest_prefix(&layout, &[level], &mut sequence, &tokens, tokens.len());
        assert_eq!(length, 2 * lookup.found[0].len());
        lookup.found[0].iter().map(|place| !place.block.is_null()).collect()
    }

    #[test]
    fn full_attention_needs_every_block() {
        let lengths =
            ["0", "1", "10", "11", "1101", "011"].map(|c| hit(Attention::Full, c, 0).len());
        assert_eq!(lengths, [0, 1, 1, 2, 2, 0]);
    }

    /// The cases of vLLM's `test_sliding_window_possible_cached_prefix`.
    #[test]
    fn a_sliding_window_needs_the_blocks_in_the_window() {
        let window = Attention::SlidingWindow { window: 4 };
        for (cached, length) in [
            ("0000000000", 0),
            ("1", 1),
            ("10", 1),
            ("11", 2),
            ("110", 2),
            ("111", 3),
            ("1110", 3),
            ("110100110111", 12),
            ("11010011000", 8),
            ("110100110001", 8),
        ] {
            let found = hit(window, cached, 0);
            assert_eq!(found.len(), length, "{cached}");
            let outside = found.len().saturating_sub(2);
            assert!(found[..outside].iter().all(|found| !found), "{cached}: held for nothing");
            assert!(found[outside..].iter().all(|&found| found), "{cached}");
        }
    }

    /// The cases of vLLM's `test_chunked_local_attention_possible_cached_prefix`.
    #[test]
    fn chunked_local_attention_needs_the_blocks_of_its_chunk() {
        let chunked = Attention::ChunkedLocal { chunk: 4 };
        for (cached, tail, length) in [
            ("1", 0, 1),
            ("1", 1, 1),
            ("10", 0, 2),
            ("11", 1, 2),
            ("110", 0, 2),
            ("111", 1, 3),
            ("1110", 0, 4),
            ("000000001", 1, 9),
            ("000000000", 1, 8),
            ("0000000011", 1, 10),
            ("1111111110", 0, 10),
            ("0000000001", 0, 10),
            ("1111111100", 1, 10),
        ] {
            let found = hit(chunked, cached, tail);
            assert_eq!(found.len(), length, "{cached}");
            let before = length / 2 * 2;
            assert!(found[..before].iter().all(|found| !found), "{cached}: held for nothing");
        }
    }
}
