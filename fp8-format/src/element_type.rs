//! What a cache stores: the FP8 formats and the types beside them, as a run-time value.

use core::fmt;

/// The type of a stored element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ElementType {
    /// IEEE binary32.
    F32,
    /// IEEE binary16.
    F16,
    /// bfloat16: the upper half of a binary32.
    Bf16,
    /// OCP E4M3, [`F8E4M3`](crate::F8E4M3).
    F8E4M3,
    /// OCP E5M2, [`F8E5M2`](crate::F8E5M2).
    F8E5M2,
    /// E4M3 FNUZ, [`F8E4M3Fnuz`](crate::F8E4M3Fnuz).
    F8E4M3Fnuz,
    /// E5M2 FNUZ, [`F8E5M2Fnuz`](crate::F8E5M2Fnuz).
    F8E5M2Fnuz,
    /// Two's complement, symmetric: -127 to 127.
    Int8,
}

impl ElementType {
    /// Every element type, in the order of declaration.
    pub const ALL: [Self; 8] = [
        Self::F32,
        Self::F16,
        Self::Bf16,
        Self::F8E4M3,
        Self::F8E5M2,
        Self::F8E4M3Fnuz,
        Self::F8E5M2Fnuz,
        Self::Int8,
    ];

    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            _ => 1,
        }
    }

    /// The largest finite value: a scale of `absmax / max` uses the whole range.
    pub const fn max(self) -> f32 {
        match self {
            Self::F32 => f32::MAX,
            Self::F16 => 65504.0,
            // The largest bfloat16 is (2 - 2^-7) × 2^127.
            Self::Bf16 => f32::from_bits(0x7f7f_0000),
            Self::F8E4M3 => crate::F8E4M3::MAX,
            Self::F8E5M2 => crate::F8E5M2::MAX,
            Self::F8E4M3Fnuz => crate::F8E4M3Fnuz::MAX,
            Self::F8E5M2Fnuz => crate::F8E5M2Fnuz::MAX,
            Self::Int8 => 127.0,
        }
    }

    /// The name used on command lines and in configurations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::F8E4M3 => "fp8_e4m3",
            Self::F8E5M2 => "fp8_e5m2",
            Self::F8E4M3Fnuz => "fp8_e4m3fnuz",
            Self::F8E5M2Fnuz => "fp8_e5m2fnuz",
            Self::Int8 => "int8",
        }
    }

    /// True for the one-byte types, which are stored with a scale.
    pub const fn is_quantized(self) -> bool {
        self.size() == 1
    }

    /// True for the four FP8 formats.
    pub const fn is_fp8(self) -> bool {
        matches!(self, Self::F8E4M3 | Self::F8E5M2 | Self::F8E4M3Fnuz | Self::F8E5M2Fnuz)
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
