//! The one rounding step of the crate: an exact number to the nearest code, ties to even.
//!
//! Every scalar conversion comes through here straight from its source, so no value is ever
//! rounded twice. It is the specification that the SIMD paths are checked against.

use crate::format::{Format, Overflow};
use crate::ieee::{Class, Unpacked};

/// The code of `number` in `format`.
pub(crate) const fn round(number: Unpacked, format: &Format, overflow: Overflow) -> u8 {
    let beyond = match overflow {
        Overflow::Saturate => format.max,
        Overflow::NonSaturating => format.overflow,
    };
    let magnitude = match number.class {
        Class::Nan => format.nan,
        Class::Infinite => beyond,
        Class::Finite { significand: 0, .. } => 0,
        Class::Finite { significand, exponent } => {
            let magnitude = round_magnitude(significand, exponent, format);
            if magnitude > format.max as u64 { beyond } else { magnitude as u8 }
        }
    };
    format.with_sign(magnitude, number.negative)
}

/// The code of `significand × 2^exponent` as if the exponent field had no upper end.
const fn round_magnitude(significand: u64, exponent: i32, format: &Format) -> u64 {
    let top = exponent + significand.ilog2() as i32;
    let min = format.min_exponent();
    let binade = if top < min { min } else { top };
    // Bits of the significand below the last place of the code.
    let drop = binade - format.mantissa_bits as i32 - exponent;
    let rounded = if drop <= 0 {
        significand << -drop
    } else if drop > 63 {
        // The significand has at most 53 bits: less than half of the last place.
        0
    } else {
        let kept = significand >> drop;
        let rest = significand & ((1 << drop) - 1);
        let half = 1 << (drop - 1);
        kept + (rest > half || (rest == half && kept & 1 == 1)) as u64
    };
    // The hidden bit, when there is one, adds the first step of the exponent field; a carry out of
    // the mantissa adds the next. Subnormals have neither and are their own code.
    (((binade - min) as u64) << format.mantissa_bits) + rounded
}
