//! Operands: the edges of every number type, crossed and shuffled, and a small seeded generator.

/// One row of operands; what an instruction does not read is 0.
pub(crate) type Row = [u64; 4];

/// SplitMix64: the same numbers on every machine.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Uniform in -1..1.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

/// The low `bits` bits.
pub(crate) fn cut(x: u64, bits: u32) -> u64 {
    if bits == 64 { x } else { x & ((1 << bits) - 1) }
}

/// The edges of integers of `bits` bits, and a few of no kind.
pub(crate) fn ints(bits: u32) -> Vec<u64> {
    let mut all = vec![0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 33, 63, 64, 65, 100, 127, 128, 255];
    let top = 1u64 << (bits - 1);
    all.extend([top, top - 1, top + 1, top.wrapping_mul(2).wrapping_sub(1)]);
    all.extend([u64::MAX - 1, u64::MAX - 6, u64::MAX - 31, 1 << (bits / 2), (1 << (bits / 2)) - 1]);
    all.extend([0x5555_5555_5555_5555, 0x8000_0001_8000_8001, 0x0123_4567_89ab_cdef]);
    let mut random = Random(u64::from(bits));
    all.extend((0..6).map(|_| random.next()));
    distinct(all, bits)
}

/// The edges of f32: zeros, subnormals, powers, ties, limits, infinities, NaNs, and random bits.
pub(crate) fn floats32() -> Vec<u64> {
    let mut all: Vec<u64> = vec![
        0x0000_0000,
        0x0000_0001,
        0x0000_0002,
        0x007f_ffff,
        0x0080_0000,
        0x0080_0001,
        0x0100_0000,
        0x3380_0000,
        0x3380_0001,
        0x3400_0000,
        0x3f00_0000,
        0x3f7f_ffff,
        0x3f80_0000,
        0x3f80_0001,
        0x3fc0_0000,
        0x4000_0000,
        0x4020_0000,
        0x4049_0fdb,
        0x4b00_0000,
        0x4b80_0001,
        0x4f00_0000,
        0x5f00_0000,
        0x7e80_0000,
        0x7f7f_ffff,
        0x7f80_0000,
        0x7fc0_0000,
        0x7f80_0001,
        0x3eaa_aaab,
        0x7fff_ffff,
    ];
    all.extend(all.clone().iter().map(|x| x | 0x8000_0000));
    let mut random = Random(32);
    all.extend((0..6).map(|_| random.next()));
    distinct(all, 32)
}

/// The edges of f64.
pub(crate) fn floats64() -> Vec<u64> {
    let mut all: Vec<u64> = vec![
        0,
        1,
        0x000f_ffff_ffff_ffff,
        0x0010_0000_0000_0000,
        0x0010_0000_0000_0001,
        0x3ca0_0000_0000_0000,
        0x3cb0_0000_0000_0001,
        0x3fe0_0000_0000_0000,
        0x3fef_ffff_ffff_ffff,
        0x3ff0_0000_0000_0000,
        0x3ff0_0000_0000_0001,
        0x4008_0000_0000_0000,
        0x4330_0000_0000_0001,
        0x47ef_ffff_e000_0000,
        0x47ef_ffff_f000_0000,
        0x36a0_0000_0000_0000,
        0x7fef_ffff_ffff_ffff,
        0x7ff0_0000_0000_0000,
        0x7ff8_0000_0000_0000,
        0x7ff0_0000_0000_0001,
    ];
    all.extend(all.clone().iter().map(|x| x | 1 << 63));
    let mut random = Random(64);
    all.extend((0..6).map(|_| random.next()));
    all
}

/// The edges of f16 and bf16 (the same bits are edges of one or the other).
pub(crate) fn halves() -> Vec<u64> {
    let mut all: Vec<u64> = vec![
        0x0000, 0x0001, 0x0002, 0x007f, 0x0080, 0x0081, 0x03ff, 0x0400, 0x0401, 0x1400, 0x3800,
        0x3bff, 0x3c00, 0x3c01, 0x3e00, 0x3f7f, 0x3f80, 0x3f81, 0x4000, 0x4200, 0x4248, 0x6400,
        0x7bff, 0x7c00, 0x7c01, 0x7e00, 0x7f7f, 0x7f80, 0x7f81, 0x7fc0, 0x7fff,
    ];
    all.extend(all.clone().iter().map(|x| x | 0x8000));
    let mut random = Random(16);
    all.extend((0..8).map(|_| random.next()));
    distinct(all, 16)
}

fn distinct(values: Vec<u64>, bits: u32) -> Vec<u64> {
    let mut all: Vec<u64> = values.into_iter().map(|x| cut(x, bits)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Each value alone.
pub(crate) fn ones(a: &[u64]) -> Vec<Row> {
    a.iter().map(|&a| [a, 0, 0, 0]).collect()
}

/// Each value with each.
pub(crate) fn pairs(a: &[u64], b: &[u64]) -> Vec<Row> {
    a.iter().flat_map(|&a| b.iter().map(move |&b| [a, b, 0, 0])).collect()
}

/// `n` rows of three, each operand drawn from its list; one in four is random.
pub(crate) fn triples(a: &[u64], b: &[u64], c: &[u64], n: usize) -> Vec<Row> {
    let mut random = Random(n as u64);
    let mut pick = |from: &[u64]| from[random.below(from.len() as u64) as usize];
    (0..n).map(|_| [pick(a), pick(b), pick(c), 0]).collect()
}

/// Two 16-bit values in 32 bits, each row's low half from `low`, the high half from `high`.
pub(crate) fn packed(low: u64, high: u64) -> u64 {
    cut(low, 16) | cut(high, 16) << 16
}
