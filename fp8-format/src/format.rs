//! The four FP8 formats as data: everything that tells one from another, and the policy on overflow.

#[cfg(any(target_arch = "x86_64", feature = "unverified-simd"))]
use crate::element_type::ElementType;
#[cfg(any(target_arch = "x86_64", feature = "unverified-simd"))]
use crate::ieee::BINARY32;
use crate::ieee::{Class, Unpacked};

/// What encoding does with a value beyond the largest finite code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Overflow {
    /// Every value beyond the range, and ±infinity, becomes the largest finite code of its sign.
    ///
    /// NVIDIA's `satfinite`, and what a KV cache wants: one outlier costs accuracy, not the row.
    Saturate,
    /// A value that would round beyond the range becomes infinity where the format has one (E5M2),
    /// else NaN. This is what `ml_dtypes` does.
    NonSaturating,
}

/// One FP8 format. Codes are sign and magnitude; all magnitudes below are seven-bit codes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Format {
    pub(crate) mantissa_bits: u32,
    pub(crate) bias: i32,
    /// The largest finite magnitude.
    pub(crate) max: u8,
    /// What an overflow becomes when it does not saturate: infinity, or NaN. 0x80 in FNUZ.
    pub(crate) overflow: u8,
    /// What a NaN becomes, before its sign. 0x80 in FNUZ.
    pub(crate) nan: u8,
    /// Finite and NaN only, one zero without a sign: the code of -0 is the only NaN.
    pub(crate) fnuz: bool,
}

pub(crate) const E4M3: Format =
    Format { mantissa_bits: 3, bias: 7, max: 0x7e, overflow: 0x7f, nan: 0x7f, fnuz: false };
pub(crate) const E5M2: Format =
    Format { mantissa_bits: 2, bias: 15, max: 0x7b, overflow: 0x7c, nan: 0x7e, fnuz: false };
pub(crate) const E4M3_FNUZ: Format =
    Format { mantissa_bits: 3, bias: 8, max: 0x7f, overflow: 0x80, nan: 0x80, fnuz: true };
pub(crate) const E5M2_FNUZ: Format =
    Format { mantissa_bits: 2, bias: 16, max: 0x7f, overflow: 0x80, nan: 0x80, fnuz: true };

impl Format {
    /// The exponent of the smallest normal number, and of every subnormal.
    pub(crate) const fn min_exponent(&self) -> i32 {
        1 - self.bias
    }

    /// True where overflow has an infinity to go to.
    pub(crate) const fn has_infinity(&self) -> bool {
        self.overflow != self.nan
    }

    pub(crate) const fn is_nan(&self, bits: u8) -> bool {
        if self.fnuz {
            bits == 0x80
        } else {
            let last_number = if self.has_infinity() { self.overflow } else { self.max };
            bits & 0x7f > last_number
        }
    }

    pub(crate) const fn is_infinite(&self, bits: u8) -> bool {
        self.has_infinity() && bits & 0x7f == self.overflow
    }

    pub(crate) const fn is_subnormal(&self, bits: u8) -> bool {
        let magnitude = bits & 0x7f;
        magnitude != 0 && magnitude >> self.mantissa_bits == 0
    }

    /// Puts a sign on a magnitude: FNUZ has neither a negative zero nor a negative NaN.
    pub(crate) const fn with_sign(&self, magnitude: u8, negative: bool) -> u8 {
        if self.fnuz && magnitude & 0x7f == 0 {
            magnitude
        } else {
            magnitude | (negative as u8) << 7
        }
    }

    /// The value of a magnitude, NaN and infinity read as if they were numbers.
    const fn number(&self, magnitude: u8) -> Class {
        let field = (magnitude >> self.mantissa_bits) as i32;
        let mantissa = (magnitude & ((1 << self.mantissa_bits) - 1)) as u64;
        let hidden = (field != 0) as u64;
        Class::Finite {
            significand: mantissa | hidden << self.mantissa_bits,
            exponent: field - (field != 0) as i32 + self.min_exponent() - self.mantissa_bits as i32,
        }
    }

    /// The exact value of a code.
    pub(crate) const fn unpack(&self, bits: u8) -> Unpacked {
        let class = if self.is_nan(bits) {
            Class::Nan
        } else if self.is_infinite(bits) {
            Class::Infinite
        } else {
            self.number(bits & 0x7f)
        };
        Unpacked { negative: bits & 0x80 != 0, class }
    }
}

/// The format of an FP8 element type; `None` for the others.
#[cfg(any(target_arch = "x86_64", feature = "unverified-simd"))]
pub(crate) const fn format_of(element: ElementType) -> Option<&'static Format> {
    match element {
        ElementType::F8E4M3 => Some(&E4M3),
        ElementType::F8E5M2 => Some(&E5M2),
        ElementType::F8E4M3Fnuz => Some(&E4M3_FNUZ),
        ElementType::F8E5M2Fnuz => Some(&E5M2_FNUZ),
        ElementType::F32 | ElementType::F16 | ElementType::Bf16 | ElementType::Int8 => None,
    }
}

/// The magnitude that stands for everything beyond the range of a one-byte type: the largest
/// finite value, or, not saturating, the one that the first code above it would have as a number.
#[cfg(any(target_arch = "x86_64", feature = "unverified-simd"))]
pub(crate) const fn limit(element: ElementType, saturate: bool) -> f32 {
    match format_of(element) {
        None => element.max(),
        Some(format) => {
            let magnitude = if saturate { format.max } else { format.overflow };
            let number = Unpacked { negative: false, class: format.number(magnitude) };
            f32::from_bits(BINARY32.pack_exact(number) as u32)
        }
    }
}
