//! The trait of the four FP8 types, for code that is generic over the format.

use core::cmp::Ordering;
use core::fmt;
use core::num::FpCategory;

use crate::code::Code;
use crate::format::Overflow;

/// An FP8 type: [`F8E4M3`](crate::F8E4M3), [`F8E5M2`](crate::F8E5M2),
/// [`F8E4M3Fnuz`](crate::F8E4M3Fnuz) or [`F8E5M2Fnuz`](crate::F8E5M2Fnuz). Sealed.
///
/// The types have all of this as inherent `const fn`s too; the trait is for generic code.
pub trait Fp8:
    Code
    + PartialEq
    + PartialOrd
    + Default
    + fmt::Debug
    + fmt::Display
    + fmt::LowerExp
    + Into<f32>
    + Into<f64>
{
    /// The largest finite value.
    const MAX: f32;
    /// The smallest finite value, `-MAX`.
    const MIN: f32;
    /// The smallest positive normal value.
    const MIN_POSITIVE: f32;
    /// The smallest positive value.
    const MIN_POSITIVE_SUBNORMAL: f32;
    /// The step from 1 to the next larger value.
    const EPSILON: f32;
    /// Whether the format has infinities.
    const HAS_INFINITY: bool;
    /// Positive zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;
    /// A NaN.
    const NAN: Self;

    /// The value with these bits.
    fn from_bits(bits: u8) -> Self;
    /// The bits of this value.
    fn to_bits(self) -> u8;

    /// The nearest value, ties to even.
    fn from_f32(x: f32, overflow: Overflow) -> Self;
    /// The nearest value, ties to even, rounded once.
    fn from_f64(x: f64, overflow: Overflow) -> Self;
    /// The nearest value, ties to even.
    #[cfg(feature = "half")]
    fn from_f16(x: half::f16, overflow: Overflow) -> Self;
    /// The nearest value, ties to even.
    #[cfg(feature = "half")]
    fn from_bf16(x: half::bf16, overflow: Overflow) -> Self;

    /// The exact value.
    fn to_f32(self) -> f32;
    /// The exact value.
    fn to_f64(self) -> f64;
    /// The exact value.
    #[cfg(feature = "half")]
    fn to_f16(self) -> half::f16;
    /// The exact value.
    #[cfg(feature = "half")]
    fn to_bf16(self) -> half::bf16;

    /// The nearest value of another FP8 type, ties to even; exact where that type has the value.
    #[inline]
    fn convert<F: Fp8>(self, overflow: Overflow) -> F {
        // Widening is exact, so this rounds once.
        F::from_f32(self.to_f32(), overflow)
    }

    /// True for a NaN.
    fn is_nan(self) -> bool;
    /// True for an infinity.
    fn is_infinite(self) -> bool;
    /// True for neither NaN nor infinity.
    fn is_finite(self) -> bool;
    /// True for a value other than zero below [`MIN_POSITIVE`](Self::MIN_POSITIVE).
    fn is_subnormal(self) -> bool;
    /// True for neither zero, subnormal, infinite nor NaN.
    fn is_normal(self) -> bool;
    /// Which of the five classes of IEEE 754 the value is in.
    fn classify(self) -> FpCategory;
    /// True if the sign bit is set.
    fn is_sign_negative(self) -> bool;
    /// True if the sign bit is clear.
    fn is_sign_positive(self) -> bool;
    /// The value without its sign.
    fn abs(self) -> Self;
    /// The value with the sign of another.
    fn copysign(self, sign: Self) -> Self;
    /// The larger of the two; a NaN is ignored if the other is none.
    fn max(self, other: Self) -> Self;
    /// The smaller of the two; a NaN is ignored if the other is none.
    fn min(self, other: Self) -> Self;
    /// The value, or the end of the range that it is beyond.
    ///
    /// # Panics
    /// If `min` is above `max`, or one of them is NaN.
    fn clamp(self, min: Self, max: Self) -> Self;
    /// A total order over all codes.
    fn total_cmp(&self, other: &Self) -> Ordering;
}
