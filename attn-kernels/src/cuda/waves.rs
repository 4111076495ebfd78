//! Work that is given in an order, for a device that keeps none within a launch.

use std::collections::{HashMap, HashSet};

/// Where a slot is given more than once, only the last token keeps it: −1 for the others.
pub(crate) fn last_wins(slots: &[i64]) -> Vec<i64> {
    let mut last = HashMap::with_capacity(slots.len());
    for (token, &slot) in slots.iter().enumerate() {
        last.insert(slot, token);
    }
    let keep = |(token, slot): (usize, &i64)| if last[slot] == token { *slot } else { -1 };
    slots.iter().enumerate().map(keep).collect()
}

/// Copies into blocks that none of them reads: only the last into each block counts, and then the
/// order does not matter.
pub(crate) fn last_into(copies: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let mut seen = HashSet::with_capacity(copies.len());
    let mut kept: Vec<_> =
        copies.iter().rev().filter(|(_, dst)| seen.insert(*dst)).copied().collect();
    kept.reverse();
    kept
}

/// Cuts copies into runs within which the order does not matter, in order.
pub(crate) fn waves(copies: &[(u32, u32)]) -> Vec<&[(u32, u32)]> {
    let (mut all, mut start) = (Vec::new(), 0);
    let (mut read, mut written) = (HashSet::new(), HashSet::new());
    for (i, &(src, dst)) in copies.iter().enumerate() {
        let depends = written.contains(&src) || written.contains(&dst) || read.contains(&dst);
        // A block onto itself stays as it is, in any order.
        if depends || src == dst {
            all.push(&copies[start..i]);
            start = i;
            read.clear();
            written.clear();
        }
        read.insert(src);
        written.insert(dst);
    }
    all.push(&copies[start..]);
    all.retain(|wave| !wave.is_empty());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_token_of_a_slot_wins() {
        assert_eq!(last_wins(&[3, -1, 4, 3, -1]), [-1, -1, 4, 3, -1]);
    }

    #[test]
    fn the_last_copy_into_a_block_wins() {
        assert_eq!(last_into(&[(1, 2), (2, 3), (4, 2)]), [(2, 3), (4, 2)]);
    }

    #[test]
    fn chains_are_cut() {
        let chain = [(1, 2), (2, 3)];
        assert_eq!(waves(&chain), [&chain[..1], &chain[1..]]);
        let overwritten = [(1, 2), (3, 1)];
        assert_eq!(waves(&overwritten).len(), 2);
        let free = [(1, 2), (1, 3), (4, 5)];
        assert_eq!(waves(&free), [&free[..]]);
        assert!(waves(&[]).is_empty());
    }
}
