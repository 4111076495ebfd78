//! The arithmetic of attention: which operands are rounded, to what, and what that asks of a cache.

use std::fmt;
use std::str::FromStr;

use fp8_format::ElementType;

use crate::error::Error;

/// The arithmetic of attention. Never chosen by itself: the caller asks for it.
///
/// Whatever rounds, rounds per query row and fixed chunk of 256 tokens, so a result has the same
/// bits however work is cut up, as with default arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum AttnMath {
    /// The cache stays as it is stored; codes are converted exactly, arithmetic is f32. Error:
    /// 2e-6 × (1 + max|s| / 8) of max|out|, `s` the logits.
    #[default]
    Default,
    /// Q is rounded to K's FP8 format with the q scale; the rest as default, and so is the error
    /// against the same on rounded queries. Needs K in FP8.
    Fp8Q,
    /// Q as in [`Fp8Q`](Self::Fp8Q), and P too: per chunk and row, `exp(s − max)` is divided by the
    /// prob scale (2^-8 where none is given; 2^-7 for the FNUZ formats, whose codes mean half as
    /// much) and rounded to V's FP8 format. The softmax's denominator sums the rounded P. Needs K
    /// and V in FP8.
    Fp8,
    /// Integer multiply-add: per row q, and per row and chunk P, are rounded to 16 bits; sums are
    /// exact. The denominator sums the rounded P. Error: 5e-4 of max|out|, for logits up to 50; it
    /// grows with them. Needs K and V in INT8.
    Int8,
}

impl AttnMath {
    /// Every arithmetic, in the order of declaration.
    pub const ALL: [Self; 4] = [Self::Default, Self::Fp8Q, Self::Fp8, Self::Int8];

    /// The name used on command lines: `default`, `fp8_q`, `fp8`, `int8`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Fp8Q => "fp8_q",
            Self::Fp8 => "fp8",
            Self::Int8 => "int8",
        }
    }

    /// Whether the q scale is used.
    pub const fn uses_q_scale(self) -> bool {
        matches!(self, Self::Fp8Q | Self::Fp8)
    }

    /// Whether the prob scale is used.
    pub const fn uses_prob_scale(self) -> bool {
        matches!(self, Self::Fp8)
    }

    /// Whether it can be used on a cache of these types.
    pub const fn supports(self, k: ElementType, v: ElementType) -> bool {
        match self {
            Self::Default => true,
            Self::Fp8Q => k.is_fp8(),
            Self::Fp8 => k.is_fp8() && v.is_fp8(),
            Self::Int8 => matches!((k, v), (ElementType::Int8, ElementType::Int8)),
        }
    }

    /// Refuses a cache of types that [`supports`](Self::supports) denies.
    pub fn check(self, k: ElementType, v: ElementType) -> Result<(), Error> {
        if self.supports(k, v) {
            return Ok(());
        }
        let needs = match self {
            Self::Int8 => "K and V in INT8",
            Self::Fp8 => "K and V in FP8",
            _ => "K in FP8",
        };
        Err(Error::MathNeeds { math: self.name(), needs, k: k.name(), v: v.name() })
    }
}

impl fmt::Display for AttnMath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for AttnMath {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let known = Self::ALL.into_iter().find(|math| math.name() == name);
        known.ok_or_else(|| Error::UnknownMath { name: name.to_owned() })
    }
}

/// The scale of P where none is given: it puts `exp(s − max)`, at most 1, into the upper half of
/// the format's range.
pub(crate) const fn default_prob_scale(v: ElementType) -> f32 {
    match v {
        ElementType::F8E4M3Fnuz | ElementType::F8E5M2Fnuz => 1.0 / 128.0,
        _ => 1.0 / 256.0,
    }
}
