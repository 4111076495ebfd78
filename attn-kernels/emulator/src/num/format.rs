//! The binary formats: their fields, extremes and canonical NaNs. Knows no operation.

use crate::isa::Num;

/// What the all-ones exponent of a format means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Specials {
    /// Infinities and NaNs (IEEE 754).
    Ieee,
    /// Finite values, and NaN where the mantissa is all ones too (OCP OFP8 E4M3).
    NanOnly,
    /// Finite values (OCP MX FP6 and FP4).
    None,
}

/// A binary floating-point format with a sign bit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Format {
    /// Bits of the exponent field.
    pub(crate) exp_bits: u32,
    /// Bits of the mantissa field.
    pub(crate) man_bits: u32,
    /// Meaning of the largest exponent.
    pub(crate) specials: Specials,
    /// The NaN that an operation makes.
    pub(crate) nan: u64,
}

impl Format {
    const fn new(exp_bits: u32, man_bits: u32, specials: Specials, nan: u64) -> Self {
        Self { exp_bits, man_bits, specials, nan }
    }

    /// Bits of the whole format.
    pub(crate) const fn bits(&self) -> u32 {
        1 + self.exp_bits + self.man_bits
    }

    /// The sign bit alone.
    pub(crate) const fn sign_bit(&self) -> u64 {
        1 << (self.bits() - 1)
    }

    /// All bits but the sign.
    pub(crate) const fn magnitude_mask(&self) -> u64 {
        self.sign_bit() - 1
    }

    /// The exponent bias.
    pub(crate) const fn bias(&self) -> i32 {
        (1 << (self.exp_bits - 1)) - 1
    }

    /// The exponent of the smallest normal value.
    pub(crate) const fn min_exponent(&self) -> i32 {
        1 - self.bias()
    }

    /// The magnitude of infinity, in a format that has one.
    pub(crate) const fn infinity(&self) -> u64 {
        ((1 << self.exp_bits) - 1) << self.man_bits
    }

    /// The magnitude of the largest finite value.
    pub(crate) const fn max_finite(&self) -> u64 {
        match self.specials {
            Specials::Ieee => self.infinity() - 1,
            Specials::NanOnly => self.magnitude_mask() - 1,
            Specials::None => self.magnitude_mask(),
        }
    }

    /// Whether `bits` (of this format, nothing above) is a NaN.
    #[inline]
    pub(crate) const fn is_nan(&self, bits: u64) -> bool {
        match self.specials {
            Specials::Ieee => bits & self.magnitude_mask() > self.infinity(),
            Specials::NanOnly => bits & self.magnitude_mask() == self.magnitude_mask(),
            Specials::None => false,
        }
    }

    /// `bits` with a subnormal replaced by the zero of its sign.
    #[inline]
    pub(crate) const fn flush(&self, bits: u64) -> u64 {
        if bits & self.infinity() == 0 { bits & self.sign_bit() } else { bits }
    }
}

/// binary16. PTX's canonical NaN of halves is all ones but the sign.
pub(crate) static F16: Format = Format::new(5, 10, Specials::Ieee, 0x7fff);
/// bfloat16.
pub(crate) static BF16: Format = Format::new(8, 7, Specials::Ieee, 0x7fff);
/// TF32 in its 19 bits; in a register they are the upper bits of an f32.
pub(crate) static TF32: Format = Format::new(8, 10, Specials::Ieee, 0x3_ffff);
/// binary32. The ISA leaves the NaN open ("Floating-Point Instructions"); NVIDIA's devices make this one.
pub(crate) static F32: Format = Format::new(8, 23, Specials::Ieee, 0x7fff_ffff);
/// binary64. NaNs keep their payload; an invalid operation makes CUDA's `CUDART_NAN`.
pub(crate) static F64: Format = Format::new(11, 52, Specials::Ieee, 0xfff8_0000_0000_0000);
/// OCP E4M3: no infinity.
pub(crate) static E4M3: Format = Format::new(4, 3, Specials::NanOnly, 0x7f);
/// OCP E5M2.
pub(crate) static E5M2: Format = Format::new(5, 2, Specials::Ieee, 0x7f);
/// OCP MX E2M3. A NaN becomes the largest value (PTX ISA, "cvt", `.satfinite`).
pub(crate) static E2M3: Format = Format::new(2, 3, Specials::None, 0x1f);
/// OCP MX E3M2.
pub(crate) static E3M2: Format = Format::new(3, 2, Specials::None, 0x1f);
/// OCP MX E2M1.
pub(crate) static E2M1: Format = Format::new(2, 1, Specials::None, 0x7);

/// The format of a scalar floating type, or of the elements of a packed one.
pub(crate) fn format(ty: Num) -> Option<&'static Format> {
    Some(match ty {
        Num::F16 | Num::F16x2 => &F16,
        Num::Bf16 | Num::Bf16x2 => &BF16,
        Num::Tf32 => &TF32,
        Num::F32 => &F32,
        Num::F64 => &F64,
        Num::E4m3x2 => &E4M3,
        Num::E5m2x2 => &E5M2,
        Num::E2m3x2 => &E2M3,
        Num::E3m2x2 => &E3M2,
        Num::E2m1x2 => &E2M1,
        _ => return None,
    })
}
