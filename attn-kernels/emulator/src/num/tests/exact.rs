//! An exact check of a rounded result, by big integers and inequalities: nothing of the
//! implementation is in it, not even the decoding of bits.

use num_bigint::{BigInt, BigUint, Sign};

use crate::isa::{Num, Round};

/// A real number X ≥ 0 with a sign, as X^power = num / den × 2^exp.
pub(super) struct Exact {
    pub(super) neg: bool,
    num: BigUint,
    den: BigUint,
    exp: i64,
    power: u32,
}

/// The layout of a type: exponent bits, mantissa bits.
pub(super) fn layout(ty: Num) -> (u32, u32) {
    match ty {
        Num::F16 => (5, 10),
        Num::Bf16 => (8, 7),
        Num::F32 => (8, 23),
        Num::F64 => (11, 52),
        Num::E4m3x2 => (4, 3),
        Num::E5m2x2 => (5, 2),
        Num::E2m3x2 => (2, 3),
        Num::E3m2x2 => (3, 2),
        Num::E2m1x2 => (2, 1),
        Num::Tf32 => (8, 10),
        _ => unreachable!("{ty:?} is not a float"),
    }
}

/// The finite magnitude as `m × 2^e`; infinity reads as the value after the largest.
fn dyadic(ty: Num, magnitude: u64) -> (BigUint, i64) {
    let (exp_bits, man_bits) = layout(ty);
    let bias = (1i64 << (exp_bits - 1)) - 1;
    let (field, fraction) = (magnitude >> man_bits, magnitude & ((1 << man_bits) - 1));
    let least = 1 - bias - i64::from(man_bits);
    match field {
        0 => (fraction.into(), least),
        _ => ((fraction + (1 << man_bits)).into(), least + field as i64 - 1),
    }
}

/// A finite value as a signed integer times a power of two.
pub(super) fn signed(ty: Num, bits: u64) -> (BigInt, i64) {
    let (exp_bits, man_bits) = layout(ty);
    let top = 1u64 << (exp_bits + man_bits);
    let (m, e) = dyadic(ty, bits & (top - 1));
    (BigInt::from_biguint(if bits & top != 0 { Sign::Minus } else { Sign::Plus }, m), e)
}

impl Exact {
    fn new(value: &BigInt, exp: i64) -> Self {
        let neg = value.sign() == Sign::Minus;
        Self { neg, num: value.magnitude().clone(), den: 1u32.into(), exp, power: 1 }
    }

    pub(super) fn of(ty: Num, bits: u64) -> Self {
        let (m, e) = signed(ty, bits);
        Self::new(&m, e)
    }

    pub(super) fn integer(value: i128) -> Self {
        Self::new(&value.into(), 0)
    }

    /// a × b + c.
    pub(super) fn fma(ty: Num, a: u64, b: u64, c: u64) -> Self {
        let ((ma, ea), (mb, eb), (mc, ec)) = (signed(ty, a), signed(ty, b), signed(ty, c));
        let exp = (ea + eb).min(ec);
        Self::new(&(((ma * mb) << (ea + eb - exp)) + (mc << (ec - exp))), exp)
    }

    /// a / b.
    pub(super) fn div(ty: Num, a: u64, b: u64) -> Self {
        let ((ma, ea), (mb, eb)) = (signed(ty, a), signed(ty, b));
        let neg = (ma.sign() == Sign::Minus) != (mb.sign() == Sign::Minus);
        let (num, den) = (ma.magnitude().clone(), mb.magnitude().clone());
        Self { neg, num, den, exp: ea - eb, power: 1 }
    }

    /// √a of a positive number.
    pub(super) fn sqrt(ty: Num, a: u64) -> Self {
        let (m, exp) = signed(ty, a);
        Self { neg: false, num: m.magnitude().clone(), den: 1u32.into(), exp, power: 2 }
    }

    pub(super) fn is_zero(&self) -> bool {
        self.num == BigUint::ZERO
    }

    /// X compared with m × 2^e.
    fn cmp(&self, m: &BigUint, e: i64) -> std::cmp::Ordering {
        let left = self.exp;
        let right = e * i64::from(self.power);
        let low = left.min(right);
        (&self.num << (left - low)).cmp(&((m.pow(self.power) * &self.den) << (right - low)))
    }

    /// X compared with the point halfway between a magnitude and the next.
    fn cmp_middle(&self, ty: Num, magnitude: u64) -> std::cmp::Ordering {
        let ((m, e), (next, next_exp)) = (dyadic(ty, magnitude), dyadic(ty, magnitude + 1));
        // The exponents are equal or one apart.
        self.cmp(&(m + (next << (next_exp - e))), e - 1)
    }

    /// Asserts that `bits` is this non-zero number in `ty`, rounded by `round`. `largest` is the
    /// largest finite magnitude and the one after it stands for infinity.
    pub(super) fn assert_rounded(
        &self,
        ty: Num,
        round: Round,
        bits: u64,
        largest: u64,
        what: &str,
    ) {
        use std::cmp::Ordering::{Equal, Greater, Less};
        let (exp_bits, man_bits) = layout(ty);
        let top = 1u64 << (exp_bits + man_bits);
        let r = bits & (top - 1);
        let fine = (|| {
            if (bits & top != 0) != self.neg || r > largest + 1 {
                return false;
            }
            let (m, e) = dyadic(ty, r);
            let inward = match round {
                Round::Rz => true,
                Round::Rm => !self.neg,
                Round::Rp => self.neg,
                _ => {
                    // To nearest: between the middles, on one only if r is the one to take.
                    let tie_to_r = |other: u64| match round {
                        Round::Rna => r > other,
                        _ => r & 1 == 0,
                    };
                    let above = r == 0
                        || match self.cmp_middle(ty, r - 1) {
                            Greater => true,
                            Equal => tie_to_r(r - 1),
                            Less => false,
                        };
                    let below = r == largest + 1
                        || match self.cmp_middle(ty, r) {
                            Less => true,
                            Equal => tie_to_r(r + 1),
                            Greater => false,
                        };
                    return above && below;
                }
            };
            if inward {
                let (next, next_exp) = dyadic(ty, r + 1);
                r <= largest
                    && self.cmp(&m, e) != Less
                    && (r == largest || self.cmp(&next, next_exp) == Less)
            } else {
                let (last, last_exp) = dyadic(ty, r.wrapping_sub(1));
                r > 0
                    && self.cmp(&last, last_exp) == Greater
                    && (r == largest + 1 || self.cmp(&m, e) != Greater)
            }
        })();
        assert!(fine, "{what}: {bits:#x} is not {ty:?} rounded by {round:?}");
    }
}
