//! Shared-memory banks: 32 of four bytes each (CUDA C++ Programming Guide, "Shared Memory").

/// Passes that a request of `bytes` per lane needs, and how many of them are due to conflicts.
///
/// A pass serves one word of every bank, to any number of lanes. Lanes of 8 bytes go in two halves of
/// the warp, lanes of 16 bytes in four quarters; what is served together is a phase. A phase without
/// conflicts is one pass.
pub(crate) fn wavefronts(addresses: &[u32; 32], mask: u32, bytes: u32) -> (u64, u64) {
    let lanes = match bytes {
        0..=4 => 32,
        5..=8 => 16,
        _ => 8,
    };
    let words = bytes.div_ceil(4);
    let mut passes = 0;
    let mut phases = 0;
    for phase in (0..32).step_by(lanes) {
        let active = mask >> phase & (u32::MAX >> (32 - lanes));
        if active != 0 {
            phases += 1;
            let group = &addresses[phase..phase + lanes];
            passes += if consecutive(group, active, words) {
                1
            } else {
                phase_passes(group, active, words)
            };
        }
    }
    (passes, passes - phases)
}

/// Whether all lanes are active and their accesses follow one another: no two words share a bank.
fn consecutive(group: &[u32], active: u32, words: u32) -> bool {
    active.count_ones() as usize == group.len()
        && group.windows(2).all(|w| w[1].wrapping_sub(w[0]) == words * 4)
}

fn phase_passes(group: &[u32], active: u32, words: u32) -> u64 {
    const NONE: u8 = u8::MAX;
    // Chains of distinct words per bank.
    let mut first = [NONE; 32];
    let mut next = [NONE; 32];
    let mut word_of = [0u32; 32];
    let mut depth = [0u64; 32];
    let mut used = 0u8;
    for (lane, &address) in group.iter().enumerate() {
        if active >> lane & 1 == 0 {
            continue;
        }
        for word in (address >> 2)..(address >> 2) + words {
            let bank = word as usize % 32;
            let mut at = first[bank];
            while at != NONE && word_of[at as usize] != word {
                at = next[at as usize];
            }
            if at == NONE {
                word_of[used as usize] = word;
                next[used as usize] = first[bank];
                first[bank] = used;
                used += 1;
                depth[bank] += 1;
            }
        }
    }
    depth.into_iter().max().unwrap_or(0).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(f: impl Fn(u32) -> u32, bytes: u32) -> (u64, u64) {
        wavefronts(&std::array::from_fn(|i| f(i as u32)), !0, bytes)
    }

    #[test]
    fn conflicts_follow_the_banks() {
        assert_eq!(of(|i| 4 * i, 4), (1, 0));
        assert_eq!(of(|_| 64, 4), (1, 0), "broadcast");
        assert_eq!(of(|i| 8 * i, 4), (2, 1), "stride two");
        assert_eq!(of(|i| 128 * i, 4), (32, 31), "one bank");
        assert_eq!(of(|i| 132 * i, 4), (1, 0), "padded column");
        assert_eq!(of(|i| i, 1), (1, 0), "bytes of one word");
        assert_eq!(of(|i| 8 * i, 8), (2, 0));
        assert_eq!(of(|i| 16 * i, 16), (4, 0));
        assert_eq!(of(|i| 128 * i, 16), (32, 28), "rows of 128 bytes");
        assert_eq!(of(|i| 144 * i, 16), (4, 0), "rows padded by 16");
        assert_eq!(wavefronts(&[0; 32], 0xff, 16), (1, 0));
    }
}
