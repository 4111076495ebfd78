//! Taking IEEE numbers apart into integers and putting exact values together: no rounding here.

/// An exact number: a sign, and a class that for finite values is `significand × 2^exponent`.
#[derive(Clone, Copy)]
pub(crate) struct Unpacked {
    pub(crate) negative: bool,
    pub(crate) class: Class,
}

#[derive(Clone, Copy)]
pub(crate) enum Class {
    Nan,
    Infinite,
    /// The significand has at most 53 bits and need not be normalised.
    Finite {
        significand: u64,
        exponent: i32,
    },
}

/// An IEEE 754 binary interchange format, or bfloat16, which is built the same way.
#[derive(Clone, Copy)]
pub(crate) struct Ieee {
    exponent_bits: u32,
    mantissa_bits: u32,
}

#[cfg(feature = "half")]
pub(crate) const BINARY16: Ieee = Ieee { exponent_bits: 5, mantissa_bits: 10 };
#[cfg(feature = "half")]
pub(crate) const BFLOAT16: Ieee = Ieee { exponent_bits: 8, mantissa_bits: 7 };
pub(crate) const BINARY32: Ieee = Ieee { exponent_bits: 8, mantissa_bits: 23 };
pub(crate) const BINARY64: Ieee = Ieee { exponent_bits: 11, mantissa_bits: 52 };

impl Ieee {
    const fn max_field(self) -> u64 {
        (1 << self.exponent_bits) - 1
    }

    /// The exponent of the last place of a subnormal.
    const fn subnormal_exponent(self) -> i32 {
        2 - (1 << (self.exponent_bits - 1)) - self.mantissa_bits as i32
    }

    pub(crate) const fn unpack(self, bits: u64) -> Unpacked {
        let field = (bits >> self.mantissa_bits) & self.max_field();
        let mantissa = bits & ((1 << self.mantissa_bits) - 1);
        let class = if field == self.max_field() {
            if mantissa == 0 { Class::Infinite } else { Class::Nan }
        } else if field == 0 {
            Class::Finite { significand: mantissa, exponent: self.subnormal_exponent() }
        } else {
            Class::Finite {
                significand: mantissa | 1 << self.mantissa_bits,
                exponent: self.subnormal_exponent() + field as i32 - 1,
            }
        };
        Unpacked { negative: (bits >> (self.exponent_bits + self.mantissa_bits)) & 1 != 0, class }
    }

    /// The bits of a number this format holds exactly, as every FP8 value is held by all of them.
    /// A NaN becomes the quiet NaN with an empty payload and the same sign.
    pub(crate) const fn pack_exact(self, number: Unpacked) -> u64 {
        let infinity = self.max_field() << self.mantissa_bits;
        let magnitude = match number.class {
            Class::Nan => infinity | 1 << (self.mantissa_bits - 1),
            Class::Infinite => infinity,
            Class::Finite { significand: 0, .. } => 0,
            Class::Finite { significand, exponent } => {
                let top = significand.ilog2();
                let above =
                    exponent + top as i32 - (self.subnormal_exponent() + self.mantissa_bits as i32);
                if above < 0 {
                    significand << (exponent - self.subnormal_exponent())
                } else {
                    // Adding the significand with its hidden bit raises the field by one.
                    (significand << (self.mantissa_bits - top))
                        + ((above as u64) << self.mantissa_bits)
                }
            }
        };
        magnitude | (number.negative as u64) << (self.exponent_bits + self.mantissa_bits)
    }
}
