//! Reading decimal numbers, rounded once.
//!
//! An `f64` has far more digits than an FP8 value, so rounding the text to `f64` first is harmless,
//! except where the `f64` is a tie: then the text may be on either side of it, and is compared with
//! it digit by digit.

use core::cmp::Ordering;
use core::str::FromStr;

use super::{F8E4M3, F8E4M3Fnuz, F8E5M2, F8E5M2Fnuz};
use crate::code::Code;
use crate::error::ParseError;
use crate::format::Overflow;

macro_rules! parse {
    ($($name:ident)*) => {$(
        impl FromStr for $name {
            type Err = ParseError;

            /// Accepts what `f32` accepts. The nearest value, ties to even; unlike `f32`, a number
            /// beyond the range is an error, so that a typing mistake is no infinity or NaN.
            fn from_str(text: &str) -> Result<Self, ParseError> {
                let x: f64 = text.parse().map_err(|_| ParseError::Invalid)?;
                let code = if x.is_finite() {
                    Self::from_f64(beside(text, x), Overflow::NonSaturating)
                } else {
                    Self::from_f64(x, Overflow::NonSaturating)
                };
                // Infinity is an answer only to the word: digits never mean it.
                let is_word = !text.bytes().any(|byte| byte.is_ascii_digit());
                if x.is_nan() || code.is_finite() || (code.is_infinite() && is_word) {
                    Ok(code)
                } else {
                    let format = Self::ELEMENT_TYPE.name();
                    Err(ParseError::OutOfRange { format, max: Self::MAX as u32 })
                }
            }
        }
    )*};
}

parse! { F8E4M3 F8E5M2 F8E4M3Fnuz F8E5M2Fnuz }

/// The binary digits after the point of the finest tie, 2^-18, half of E5M2 FNUZ's smallest value.
/// It has as many decimal digits there.
const PLACES: i64 = 18;

/// `x`, the nearest `f64` of `text`, or, if it may be a tie, its neighbour on the side of the text.
fn beside(text: &str, x: f64) -> f64 {
    // Every tie is a multiple of 2^-18 below 2^16.
    let scaled = x.abs() * (1 << PLACES) as f64;
    if scaled == 0.0 || scaled > (1_u64 << 34) as f64 || scaled != (scaled as u64) as f64 {
        return x;
    }
    // For either sign, a larger magnitude is a larger number of bits.
    match compare(text, scaled as u64) {
        Ordering::Equal => x,
        Ordering::Greater => f64::from_bits(x.to_bits() + 1),
        Ordering::Less => f64::from_bits(x.to_bits() - 1),
    }
}

/// Compares the magnitude written in `text`, a valid number, with `tie × 2^-18`, as integers: both
/// times 10^18.
fn compare(text: &str, tie: u64) -> Ordering {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        // The exponent of a number this near to a tie is small.
        Some(at) => (&text[..at], text[at + 1..].parse().unwrap_or(0)),
        None => (text, 0_i32),
    };
    let whole = mantissa.find('.').unwrap_or(mantissa.len());
    let whole_digits = mantissa[..whole].bytes().filter(u8::is_ascii_digit).count();
    let mut place = whole_digits as i64 - 1 + i64::from(exponent) + PLACES;
    let (mut scaled, mut more) = (0_u128, false);
    for byte in mantissa.bytes().filter(u8::is_ascii_digit) {
        let digit = u128::from(byte - b'0');
        if place < 0 {
            more |= digit != 0;
        } else if digit != 0 {
            // The number is below 10^5 and its digits above that are zeros.
            scaled += digit * 10_u128.pow(place.min(24) as u32);
        }
        place -= 1;
    }
    let exact = u128::from(tie) * 5_u128.pow(PLACES as u32);
    scaled.cmp(&exact).then(if more { Ordering::Greater } else { Ordering::Equal })
}
