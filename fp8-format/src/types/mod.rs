//! The four types. One macro writes them, so that they cannot drift apart; what differs is in
//! [`crate::format`].

mod define;
mod fmt;
mod order;
mod parse;

use core::cmp::Ordering;
use core::num::FpCategory;

use define::{float8, forward};

use crate::format::{E4M3, E4M3_FNUZ, E5M2, E5M2_FNUZ, Overflow};
use crate::fp8::Fp8;
use crate::ieee;
use crate::round::round;

float8! {
    /// OCP E4M3 (also "E4M3FN"): 4 exponent bits, 3 mantissa bits, bias 7, no infinity.
    ///
    /// The finest of the four near 1 and the usual choice for a KV cache. It reaches ±448; the
    /// ±240 often quoted for "E4M3" is the range of [`F8E4M3Fnuz`]. NaN is 0x7f and 0xff.
    F8E4M3, E4M3
}

float8! {
    /// OCP E5M2: 5 exponent bits, 2 mantissa bits, bias 15, infinities and NaNs as in IEEE 754.
    ///
    /// The upper byte of a binary16, with its range: ±57344.
    F8E5M2, E5M2
}

float8! {
    /// E4M3 FNUZ (AMD MI300, Graphcore): bias 8, no infinity, no negative zero, one NaN, 0x80.
    ///
    /// Reaches ±240. A code means half of what it means in [`F8E4M3`].
    F8E4M3Fnuz, E4M3_FNUZ
}

float8! {
    /// E5M2 FNUZ (AMD MI300, Graphcore): bias 16, no infinity, no negative zero, one NaN, 0x80.
    ///
    /// Reaches ±57344. A code means half of what it means in [`F8E5M2`].
    F8E5M2Fnuz, E5M2_FNUZ
}

impl F8E5M2 {
    /// Positive infinity.
    pub const INFINITY: Self = Self::from_bits(0x7c);
    /// Negative infinity.
    pub const NEG_INFINITY: Self = Self::from_bits(0xfc);
}
