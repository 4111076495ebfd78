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
