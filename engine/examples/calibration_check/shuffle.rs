//! The order in which torch's `RandomSampler` takes samples, from the seed of its generator.

/// MT19937 from a seed, up to its first 227 numbers, none of which depends on another.
struct Twister([u32; 624]);

impl Twister {
    fn new(seed: u32) -> Self {
        let mut state = [seed; 624];
        for i in 1..state.len() {
            let last = state[i - 1];
            state[i] = 1_812_433_253u32.wrapping_mul(last ^ (last >> 30)).wrapping_add(i as u32);
        }
        Self(state)
    }

    fn number(&self, i: usize) -> u32 {
        let Self(state) = self;
        let y = (state[i] & 0x8000_0000) | (state[i + 1] & 0x7fff_ffff);
        let twisted = if y & 1 == 1 { 0x9908_b0df } else { 0 };
        let mut x = state[i + 397] ^ (y >> 1) ^ twisted;
        x ^= x >> 11;
        x ^= (x << 7) & 0x9d2c_5680;
        x ^= (x << 15) & 0xefc6_0000;
        x ^ (x >> 18)
    }
}

/// `torch.randperm(items.len())` of a generator with that seed, as an order of the items: at most
/// 227. torch seeds its generator with the lower 32 bits of whatever it is given.
pub(crate) fn shuffled(mut items: Vec<usize>, seed: u32) -> Vec<usize> {
    let (twister, count) = (Twister::new(seed), items.len());
    for i in 0..count.saturating_sub(1) {
        items.swap(i, i + twister.number(i) as usize % (count - i));
    }
    items
}
