//! Exact arithmetic with one rounding, for every format and every rounding: the specification that
//! the fast paths are tested against, and the path of directed rounding.

use super::format::{Format, Specials};
use crate::isa::Round;

/// A value taken apart. A number is ±(`sig` + δ) × 2^`exp` with `sig` > 0, where 0 < δ < 1 if
/// `sticky` and δ = 0 if not; a sticky `sig` has at least 64 bits, more than any format rounds to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Real {
    Nan,
    Inf { neg: bool },
    Zero { neg: bool },
    Num { neg: bool, exp: i32, sig: u128, sticky: bool },
}

impl Real {
    /// The value of `bits` in `format`; bits above the format are ignored.
    pub(crate) fn unpack(format: &Format, bits: u64) -> Self {
        let neg = bits & format.sign_bit() != 0;
        let magnitude = bits & format.magnitude_mask();
        if format.is_nan(bits) {
            return Real::Nan;
        }
        if magnitude == 0 {
            return Real::Zero { neg };
        }
        let field = (magnitude >> format.man_bits) as i32;
        let fraction = magnitude & ((1 << format.man_bits) - 1);
        if format.specials == Specials::Ieee && magnitude == format.infinity() {
            return Real::Inf { neg };
        }
        let (exp, sig) = match field {
            0 => (format.min_exponent(), fraction),
            _ => (field - format.bias(), fraction | 1 << format.man_bits),
        };
        Real::Num { neg, exp: exp - format.man_bits as i32, sig: u128::from(sig), sticky: false }
    }

    /// The integer `value`.
    pub(crate) fn integer(value: i128) -> Self {
        match value {
            0 => Real::Zero { neg: false },
            _ => Real::Num { neg: value < 0, exp: 0, sig: value.unsigned_abs(), sticky: false },
        }
    }

    /// The value in `format`, rounded once. Beyond the largest finite value it is infinite, NaN or
    /// the largest value, as the format, the rounding and `satfinite` say.
    pub(crate) fn pack(self, format: &Format, round: Round, satfinite: bool) -> u64 {
        match self {
            Real::Nan => format.nan,
            Real::Zero { neg } => signed(format, neg, 0),
            Real::Inf { neg } => signed(format, neg, beyond(format, satfinite)),
            Real::Num { neg, exp, sig, sticky } => {
                let man = format.man_bits as i32;
                let top = exp + sig.ilog2() as i32;
                if top > format.bias() + 1 {
                    return overflow(format, neg, round, satfinite);
                }
                // The weight of the last bit that the format keeps.
                let quantum = top.max(format.min_exponent()) - man;
                let kept = round_shift(sig, quantum - exp, sticky, neg, round);
                // A carry out of the mantissa runs into the exponent, as it should.
                let magnitude =
                    (((quantum - format.min_exponent() + man) as u64) << man) + kept as u64;
                if magnitude > format.max_finite() {
                    return overflow(format, neg, round, satfinite);
                }
                signed(format, neg, magnitude)
            }
        }
    }

    /// The value rounded to an integer, clamped to ±2^100 (infinities too); a NaN is `None`.
    pub(crate) fn to_integer(self, round: Round) -> Option<i128> {
        const LIMIT: i128 = 1 << 100;
        let (neg, magnitude) = match self {
            Real::Nan => return None,
            Real::Zero { .. } => return Some(0),
            Real::Inf { neg } => (neg, LIMIT),
            Real::Num { neg, exp, sig, .. } if exp + sig.ilog2() as i32 >= 100 => (neg, LIMIT),
            Real::Num { neg, exp, sig, sticky } => {
                (neg, round_shift(sig, -exp, sticky, neg, round) as i128)
            }
        };
        Some(if neg { -magnitude } else { magnitude })
    }

    /// `a × b + c`, exact up to a sticky bit; operands as [`Real::unpack`] gives them.
    pub(crate) fn fma(a: Self, b: Self, c: Self, round: Round) -> Self {
        Self::add(Self::mul(a, b), c, round)
    }

    /// `a × b`, exact.
    pub(crate) fn mul(a: Self, b: Self) -> Self {
        let neg = a.negative() != b.negative();
        match (a, b) {
            (Real::Nan, _)
            | (_, Real::Nan)
            | (Real::Inf { .. }, Real::Zero { .. })
            | (Real::Zero { .. }, Real::Inf { .. }) => Real::Nan,
            (Real::Inf { .. }, _) | (_, Real::Inf { .. }) => Real::Inf { neg },
            (Real::Zero { .. }, _) | (_, Real::Zero { .. }) => Real::Zero { neg },
            (Real::Num { exp, sig, .. }, Real::Num { exp: exp_b, sig: sig_b, .. }) => {
                Real::Num { neg, exp: exp + exp_b, sig: sig * sig_b, sticky: false }
            }
        }
    }

    /// `a + b`. The rounding decides the sign of an exact zero (IEEE 754, 6.3).
    pub(crate) fn add(a: Self, b: Self, round: Round) -> Self {
        match (a, b) {
            (Real::Nan, _) | (_, Real::Nan) => Real::Nan,
            (Real::Inf { neg }, Real::Inf { neg: other }) if neg != other => Real::Nan,
            (Real::Inf { neg }, _) | (_, Real::Inf { neg }) => Real::Inf { neg },
            (Real::Zero { neg }, Real::Zero { neg: other }) => {
                Real::Zero { neg: if neg == other { neg } else { round == Round::Rm } }
            }
            (Real::Zero { .. }, x) | (x, Real::Zero { .. }) => x,
            (
                Real::Num { neg, exp, sig, .. },
                Real::Num { neg: neg_b, exp: exp_b, sig: sig_b, .. },
            ) => add_numbers((neg, exp, sig), (neg_b, exp_b, sig_b), round),
        }
    }

    /// `a / b`; operands as [`Real::unpack`] gives them.
    pub(crate) fn div(a: Self, b: Self) -> Self {
        let neg = a.negative() != b.negative();
        match (a, b) {
            (Real::Nan, _)
            | (_, Real::Nan)
            | (Real::Inf { .. }, Real::Inf { .. })
            | (Real::Zero { .. }, Real::Zero { .. }) => Real::Nan,
            (Real::Inf { .. }, _) | (_, Real::Zero { .. }) => Real::Inf { neg },
            (Real::Zero { .. }, _) | (_, Real::Inf { .. }) => Real::Zero { neg },
            (Real::Num { exp, sig, .. }, Real::Num { exp: exp_b, sig: sig_b, .. }) => {
                // 128 bits by 63 or fewer: the quotient has at least 65.
                let up = sig.leading_zeros();
                let dividend = sig << up;
                let quotient = dividend / sig_b;
                let sticky = dividend % sig_b != 0;
                Real::Num { neg, exp: exp - exp_b - up as i32, sig: quotient, sticky }
            }
        }
    }

    /// `√a`; the operand as [`Real::unpack`] gives it.
    pub(crate) fn sqrt(a: Self) -> Self {
        match a {
            Real::Zero { .. } | Real::Nan | Real::Inf { neg: false } => a,
            Real::Inf { neg: true } | Real::Num { neg: true, .. } => Real::Nan,
            Real::Num { exp, sig, .. } => {
                // An even exponent, and 127 or 128 bits: the root has 64.
                let up = sig.leading_zeros();
                let up = if (exp - up as i32) % 2 == 0 { up } else { up - 1 };
                let square = sig << up;
                let root = square.isqrt();
                let sticky = root * root != square;
                Real::Num { neg: false, exp: (exp - up as i32) / 2, sig: root, sticky }
            }
        }
    }

    fn negative(self) -> bool {
        match self {
            Real::Nan => false,
            Real::Inf { neg } | Real::Zero { neg } | Real::Num { neg, .. } => neg,
        }
    }
}

fn signed(format: &Format, neg: bool, magnitude: u64) -> u64 {
    if neg { magnitude | format.sign_bit() } else { magnitude }
}

/// What stands for a value beyond the finite ones: infinity, the largest value or NaN.
fn beyond(format: &Format, satfinite: bool) -> u64 {
    match format.specials {
        Specials::Ieee if !satfinite => format.infinity(),
        Specials::NanOnly if !satfinite => format.nan,
        _ => format.max_finite(),
    }
}

fn overflow(format: &Format, neg: bool, round: Round, satfinite: bool) -> u64 {
    let inward = match round {
        Round::Rz => true,
        Round::Rm => !neg,
        Round::Rp => neg,
        _ => false,
    };
    let magnitude = if inward { format.max_finite() } else { beyond(format, satfinite) };
    signed(format, neg, magnitude)
}

/// `(sig + δ) / 2^shift` rounded to an integer. A negative shift is exact (then nothing is sticky).
fn round_shift(sig: u128, shift: i32, sticky: bool, neg: bool, round: Round) -> u128 {
    if shift <= 0 {
        return sig << -shift;
    }
    let (kept, half, rest) = match shift {
        ..=127 => {
            let low = sig & ((1 << shift) - 1);
            let half = 1u128 << (shift - 1);
            (sig >> shift, low & half != 0, sticky || low & (half - 1) != 0)
        }
        128 => (0, sig >> 127 != 0, sticky || sig << 1 != 0),
        _ => (0, false, true),
    };
    let up = match round {
        Round::Rz | Round::Rzi => false,
        Round::Rm | Round::Rmi => neg && (half || rest),
        Round::Rp | Round::Rpi => !neg && (half || rest),
        Round::Rna => half,
        Round::None | Round::Rn | Round::Rni => half && (rest || kept & 1 == 1),
    };
    kept + u128::from(up)
}

/// The sum of two numbers (negative, exponent, significand).
fn add_numbers(a: (bool, i32, u128), b: (bool, i32, u128), round: Round) -> Real {
    // Both with their leading bit at 125: room for a carry, and a factor of 106 bits keeps 20 below.
    let align = |(neg, exp, sig): (bool, i32, u128)| {
        let up = sig.leading_zeros() as i32 - 2;
        (neg, exp - up, sig << up)
    };
    let (a, b) = (align(a), align(b));
    let ((neg, exp, big), (other, low_exp, small)) =
        if (a.1, a.2) >= (b.1, b.2) { (a, b) } else { (b, a) };
    let shift = exp - low_exp;
    // Bits are lost only where the exponents differ by more than 19: then nothing cancels.
    let (moved, sticky) = match shift {
        0..=127 => (small >> shift, small & ((1 << shift) - 1) != 0),
        _ => (0, true),
    };
    let sig = if neg == other { big + moved } else { big - moved - u128::from(sticky) };
    match sig {
        0 => Real::Zero { neg: round == Round::Rm },
        _ => Real::Num { neg, exp, sig, sticky },
    }
}
