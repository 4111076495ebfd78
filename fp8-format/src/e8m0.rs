//! E8M0: a power of two in a byte, the scale of a block in the OCP MX formats.

use core::fmt;

/// OCP E8M0: `2^(bits - 127)`; 0xff is NaN. No sign, no zero, no infinity.
///
/// There are three ways to round, because there is no agreement: the MX specification takes the
/// power of two below, with which the largest element of a block may overflow; the one above avoids
/// that; the nearest is what a cast to the type does in torch.
///
/// In all of them, zero and everything below `MIN` becomes `MIN`, finite numbers above `MAX` become
/// `MAX`, and a negative number, infinity or NaN becomes NaN.
#[derive(Clone, Copy)]
#[repr(transparent)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct F8E8M0(u8);

impl F8E8M0 {
    /// The smallest value, 2^-127.
    pub const MIN: f32 = Self(0).to_f32();
    /// The largest value, 2^127.
    pub const MAX: f32 = Self(254).to_f32();
    /// One.
    pub const ONE: Self = Self(127);
    /// The NaN.
    pub const NAN: Self = Self(255);

    /// The value with these bits. Every bit pattern is one.
    #[inline]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// The bits of this value.
    #[inline]
    pub const fn to_bits(self) -> u8 {
        self.0
    }

    /// The nearest power of two; halfway, at 1.5 times one, that with an even exponent field.
    #[inline]
    pub const fn from_f32(x: f32) -> Self {
        Self::from_quarters(x, 2)
    }

    /// The power of two at or below `x`, as the MX specification has it.
    #[inline]
    pub const fn from_f32_floor(x: f32) -> Self {
        Self::from_quarters(x, 4)
    }

    /// The power of two at or above `x`.
    #[inline]
    pub const fn from_f32_ceil(x: f32) -> Self {
        Self::from_quarters(x, 0)
    }

    /// Rounds up above `quarters / 4` of the way from one power of two to the next, and there if
    /// that makes the field even.
    const fn from_quarters(x: f32, quarters: u32) -> Self {
        let bits = x.to_bits();
        if x.is_nan() || x.is_infinite() || (x.is_sign_negative() && x != 0.0) {
            return Self::NAN;
        }
        if x < Self::MIN {
            return Self(0);
        }
        // 2^-127 is a subnormal `f32`: that binade is the upper half of the subnormals.
        let (field, mantissa) = match bits << 1 >> 24 {
            0 => (0, (bits << 1) & 0x007f_ffff),
            field => (field, bits & 0x007f_ffff),
        };
        let threshold = quarters << 21;
        let up = mantissa > threshold || (quarters == 2 && mantissa == threshold && field & 1 == 1);
        let field = field + up as u32;
        Self(if field > 254 { 254 } else { field as u8 })
    }

    /// The exact value.
    #[inline]
    pub const fn to_f32(self) -> f32 {
        f32::from_bits(match self.0 {
            0 => 0x0040_0000,
            255 => 0x7fc0_0000,
            field => (field as u32) << 23,
        })
    }

    /// True for the NaN.
    #[inline]
    pub const fn is_nan(self) -> bool {
        self.0 == 255
    }
}

impl From<F8E8M0> for f32 {
    #[inline]
    fn from(x: F8E8M0) -> Self {
        x.to_f32()
    }
}

impl From<F8E8M0> for f64 {
    #[inline]
    fn from(x: F8E8M0) -> Self {
        Self::from(x.to_f32())
    }
}

impl PartialEq for F8E8M0 {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.to_f32() == other.to_f32()
    }
}

impl PartialOrd for F8E8M0 {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        self.to_f32().partial_cmp(&other.to_f32())
    }
}

impl fmt::Debug for F8E8M0 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_f32(), f)
    }
}

impl fmt::Display for F8E8M0 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.to_f32(), f)
    }
}
