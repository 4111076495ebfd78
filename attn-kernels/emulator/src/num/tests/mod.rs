//! Tests of the number semantics, each against something independent of it.

mod approx;
mod convert;
mod exact;
mod fragment;
mod matrix;
mod rounding;

use crate::isa::{FloatMods, Round};

/// Modifiers with a rounding alone.
fn rounded(round: Round) -> FloatMods {
    FloatMods { round, ..FloatMods::NONE }
}

/// SplitMix64: a deterministic source of test bits.
struct Bits(u64);

impl Bits {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
