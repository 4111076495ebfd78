//! Correctly rounded results from exact integers: every finite float is an integer times a power of
//! two, sums and products of those are too, and one rounding at the end gives the IEEE result in any
//! format and mode. Shares nothing with the emulator's arithmetic.

/// A binary interchange format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Format {
    /// Bits of the significand, the hidden one included.
    pub(crate) precision: u32,
    /// The largest exponent; the smallest of a normal number is `1 - emax`.
    pub(crate) emax: i32,
}

pub(crate) const F16: Format = Format { precision: 11, emax: 15 };
pub(crate) const BF16: Format = Format { precision: 8, emax: 127 };
pub(crate) const F32: Format = Format { precision: 24, emax: 127 };
pub(crate) const F64: Format = Format { precision: 53, emax: 1023 };

/// The directions of IEEE 754.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    Rn,
    Rz,
    Rm,
    Rp,
    /// To nearest, ties away from zero.
    Rna,
}

/// The four modes that PTX arithmetic has, with their names.
pub(crate) const MODES: [(&str, Mode); 4] =
    [("rn", Mode::Rn), ("rz", Mode::Rz), ("rm", Mode::Rm), ("rp", Mode::Rp)];

impl Format {
    pub(crate) fn bits(self) -> u32 {
        self.precision + (2 * self.emax as u32 + 1).count_ones()
    }
    pub(crate) fn sign(self) -> u64 {
        1 << (self.bits() - 1)
    }
    pub(crate) fn infinity(self) -> u64 {
        (2 * self.emax as u64 + 1) << (self.precision - 1)
    }
    pub(crate) fn largest(self) -> u64 {
        self.infinity() - 1
    }
    pub(crate) fn is_nan(self, x: u64) -> bool {
        x & (self.sign() - 1) > self.infinity()
    }
    pub(crate) fn is_infinite(self, x: u64) -> bool {
        x & (self.sign() - 1) == self.infinity()
    }
    pub(crate) fn is_zero(self, x: u64) -> bool {
        x & (self.sign() - 1) == 0
    }
    pub(crate) fn negative(self, x: u64) -> bool {
        x & self.sign() != 0
    }
    /// A subnormal becomes the zero of its sign (PTX `.ftz`).
    pub(crate) fn flush(self, x: u64) -> u64 {
        if x & self.infinity() == 0 { x & self.sign() } else { x }
    }
    /// (negative, m, e) with |x| = m·2^e, of a finite x.
    pub(crate) fn parts(self, x: u64) -> (bool, u64, i32) {
        let field = (x & self.infinity()) >> (self.precision - 1);
        let fraction = x & ((1 << (self.precision - 1)) - 1);
        let least = 2 - self.emax - self.precision as i32;
        match field {
            0 => (self.negative(x), fraction, least),
            _ => (self.negative(x), fraction | 1 << (self.precision - 1), least + field as i32 - 1),
        }
    }
    /// The value, exact.
    pub(crate) fn value(self, x: u64) -> f64 {
        if self.is_nan(x) {
            return f64::NAN;
        }
        if self.is_infinite(x) {
            return if self.negative(x) { f64::NEG_INFINITY } else { f64::INFINITY };
        }
        let (negative, m, e) = self.parts(x);
        // Two factors: 2^e itself may be below the least double.
        let magnitude = m as f64 * 2f64.powi(e / 2) * 2f64.powi(e - e / 2);
        if negative { -magnitude } else { magnitude }
    }
    /// Rounds (-1)^negative · (m + a fraction if `sticky`)·2^e, m > 0.
    pub(crate) fn round(self, negative: bool, m: u128, e: i32, sticky: bool, mode: Mode) -> u64 {
        let sign = if negative { self.sign() } else { 0 };
        let top = 127 - m.leading_zeros() as i32 + e; // 2^top <= value
        let lsb = (top - self.precision as i32 + 1).max(2 - self.emax - self.precision as i32);
        let drop = lsb - e;
        let (kept, half, rest) = if drop <= 0 {
            assert!(!sticky || drop == 0, "a fraction below exact bits");
            (m << -drop, false, sticky)
        } else if drop > 128 {
            (0, false, true)
        } else if drop == 128 {
            (0, m >> 127 == 1, sticky || m << 1 != 0)
        } else {
            let half = m >> (drop - 1) & 1 == 1;
            (m >> drop, half, sticky || m & ((1 << (drop - 1)) - 1) != 0)
        };
        let up = match mode {
            Mode::Rn => half && (rest || kept & 1 == 1),
            Mode::Rna => half,
            Mode::Rz => false,
            Mode::Rm => negative && (half || rest),
            Mode::Rp => !negative && (half || rest),
        };
        let kept = kept as u64 + u64::from(up);
        // Consecutive floats have consecutive bits: a carry walks into the exponent by itself.
        let steps = (lsb - (2 - self.emax - self.precision as i32)) as u64;
        let bits = (steps << (self.precision - 1)) + kept;
        if bits < self.infinity() {
            return sign | bits;
        }
        let inward = match mode {
            Mode::Rn | Mode::Rna => false,
            Mode::Rz => true,
            Mode::Rm => !negative,
            Mode::Rp => negative,
        };
        sign | if inward { self.largest() } else { self.infinity() }
    }
    /// x of this format in another.
    pub(crate) fn convert(self, x: u64, to: Format, mode: Mode) -> u64 {
        let sign = if self.negative(x) { to.sign() } else { 0 };
        if self.is_nan(x) {
            return to.sign() - 1;
        }
        if self.is_infinite(x) || self.is_zero(x) {
            return sign | if self.is_zero(x) { 0 } else { to.infinity() };
        }
        let (negative, m, e) = self.parts(x);
        to.round(negative, u128::from(m), e, false, mode)
    }
    /// a·b + c, rounded once.
    pub(crate) fn fma(self, a: u64, b: u64, c: u64, mode: Mode) -> u64 {
        let nan = self.sign() - 1;
        if self.is_nan(a) || self.is_nan(b) || self.is_nan(c) {
            return nan;
        }
        let product_negative = self.negative(a) != self.negative(b);
        if self.is_infinite(a) || self.is_infinite(b) {
            let clash = self.is_infinite(c) && self.negative(c) != product_negative;
            return match self.is_zero(a) || self.is_zero(b) || clash {
                true => nan,
                false => self.infinity() | if product_negative { self.sign() } else { 0 },
            };
        }
        if self.is_infinite(c) {
            return c;
        }
        let ((_, ma, ea), (_, mb, eb)) = (self.parts(a), self.parts(b));
        let (c_negative, mc, ec) = self.parts(c);
        let product = u128::from(ma) * u128::from(mb);
        let mut sum = Wide::zero();
        sum.add(product, ea + eb, product_negative);
        sum.add(u128::from(mc), ec, c_negative);
        match sum.top(self.precision) {
            Some((negative, m, e, sticky)) => self.round(negative, m, e, sticky, mode),
            // IEEE 754 §6.3: an exact zero sum of unlike signs is +0, and -0 rounding down.
            None if product_negative == c_negative => {
                if c_negative {
                    self.sign()
                } else {
                    0
                }
            }
            None => {
                if mode == Mode::Rm {
                    self.sign()
                } else {
                    0
                }
            }
        }
    }
    pub(crate) fn add(self, a: u64, b: u64, mode: Mode) -> u64 {
        let one = (self.emax as u64) << (self.precision - 1);
        self.fma(a, one, b, mode)
    }
    pub(crate) fn mul(self, a: u64, b: u64, mode: Mode) -> u64 {
        // The zero that changes no product: of the product's sign.
        let zero = (a ^ b) & self.sign();
        self.fma(a, b, zero, mode)
    }
    pub(crate) fn div(self, a: u64, b: u64, mode: Mode) -> u64 {
        let sign = (a ^ b) & self.sign();
        let (inf_a, inf_b) = (self.is_infinite(a), self.is_infinite(b));
        let (zero_a, zero_b) = (self.is_zero(a), self.is_zero(b));
        if self.is_nan(a) || self.is_nan(b) || inf_a && inf_b || zero_a && zero_b {
            return self.sign() - 1;
        }
        if inf_a || zero_b {
            return sign | self.infinity();
        }
        if inf_b || zero_a {
            return sign;
        }
        let ((_, ma, ea), (_, mb, eb)) = (self.parts(a), self.parts(b));
        // Normalise so that the quotient has at least 55 bits, more than any precision here.
        let up = ma.leading_zeros() + 55;
        let (n, d) = (u128::from(ma) << up, u128::from(mb));
        self.round(sign != 0, n / d, ea - eb - up as i32, n % d != 0, mode)
    }
    pub(crate) fn sqrt(self, a: u64, mode: Mode) -> u64 {
        if self.is_nan(a) || self.negative(a) && !self.is_zero(a) {
            return self.sign() - 1;
        }
        if self.is_zero(a) || self.is_infinite(a) {
            return a;
        }
        let (_, m, e) = self.parts(a);
        let mut up = m.leading_zeros() + 58;
        if (e - up as i32) % 2 != 0 {
            up += 1;
        }
        let n = u128::from(m) << up;
        let root = n.isqrt();
        self.round(false, root, (e - up as i32) / 2, root * root != n, mode)
    }
}

const LIMBS: usize = 72;
/// The weight of the lowest bit: below any product of two doubles.
const LOWEST: i32 = -2200;

/// A fixed-point number wide enough for any product of two doubles plus a double: two's complement.
struct Wide([u64; LIMBS]);

impl Wide {
    fn zero() -> Self {
        Wide([0; LIMBS])
    }
    fn add(&mut self, m: u128, e: i32, negative: bool) {
        let at = (e - LOWEST) as usize;
        let (limb, shift) = (at / 64, at % 64);
        let low = m << shift;
        let high = if shift == 0 { 0 } else { m >> (128 - shift) };
        let parts = [low as u64, (low >> 64) as u64, high as u64];
        let mut carry = false;
        for i in limb..LIMBS {
            let part = parts.get(i - limb).copied().unwrap_or(0);
            let (x, c1) = if negative {
                self.0[i].overflowing_sub(part)
            } else {
                self.0[i].overflowing_add(part)
            };
            let (x, c2) = if negative {
                x.overflowing_sub(u64::from(carry))
            } else {
                x.overflowing_add(u64::from(carry))
            };
            self.0[i] = x;
            carry = c1 || c2;
        }
    }
    /// (negative, m, e, sticky) with more than `precision` bits in m; `None` for zero.
    fn top(&self, precision: u32) -> Option<(bool, u128, i32, bool)> {
        let negative = self.0[LIMBS - 1] >> 63 == 1;
        let mut magnitude = self.0;
        if negative {
            let mut carry = true;
            for limb in &mut magnitude {
                let (x, c) = (!*limb).overflowing_add(u64::from(carry));
                (*limb, carry) = (x, c);
            }
        }
        let highest = magnitude.iter().rposition(|&x| x != 0)?;
        assert!(precision <= 64);
        let below = highest.saturating_sub(1);
        let m = if highest == 0 {
            u128::from(magnitude[0])
        } else {
            u128::from(magnitude[highest]) << 64 | u128::from(magnitude[below])
        };
        let sticky = magnitude[..below].iter().any(|&x| x != 0);
        // A third limb's worth of bits when the top limb is nearly empty.
        Some((negative, m, below as i32 * 64 + LOWEST, sticky))
    }
}

#[test]
fn agrees_with_the_processor_in_its_own_mode() {
    let values = super::values::floats64();
    let same = |got: u64, want: f64| (F64.is_nan(got) && want.is_nan()) || got == want.to_bits();
    for &a in &values {
        for &b in &values {
            let (x, y) = (f64::from_bits(a), f64::from_bits(b));
            assert!(same(F64.add(a, b, Mode::Rn), x + y), "{x:e} + {y:e}");
            assert!(same(F64.mul(a, b, Mode::Rn), x * y), "{x:e} * {y:e}");
            assert!(same(F64.div(a, b, Mode::Rn), x / y), "{x:e} / {y:e}");
            assert!(same(F64.fma(a, b, a, Mode::Rn), x.mul_add(y, x)), "{x:e} * {y:e} + {x:e}");
        }
        assert!(same(F64.sqrt(a, Mode::Rn), f64::from_bits(a).sqrt()));
        let narrow = u64::from((f64::from_bits(a) as f32).to_bits());
        assert!(F64.is_nan(a) || F64.convert(a, F32, Mode::Rn) == narrow);
    }
}
