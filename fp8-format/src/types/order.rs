//! Comparison of FP8 values, on their bits: no conversion is needed to order sign and magnitude.

use core::cmp::Ordering;

use super::{F8E4M3, F8E4M3Fnuz, F8E5M2, F8E5M2Fnuz};

/// A number that orders as the value does; the two zeros are equal.
const fn value_key(bits: u8) -> i16 {
    let magnitude = (bits & 0x7f) as i16;
    if bits & 0x80 != 0 { -magnitude } else { magnitude }
}

macro_rules! order {
    ($($name:ident)*) => {$(
        impl PartialEq for $name {
            #[inline]
            fn eq(&self, other: &Self) -> bool {
                !self.is_nan()
                    && !other.is_nan()
                    && value_key(self.to_bits()) == value_key(other.to_bits())
            }
        }

        impl PartialOrd for $name {
            #[inline]
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                if self.is_nan() || other.is_nan() {
                    None
                } else {
                    Some(value_key(self.to_bits()).cmp(&value_key(other.to_bits())))
                }
            }
        }

        impl $name {
            /// The larger of the two, as `f32::max`: a NaN is ignored if the other is none.
            #[inline]
            pub const fn max(self, other: Self) -> Self {
                let larger = value_key(self.to_bits()) > value_key(other.to_bits());
                if other.is_nan() || (!self.is_nan() && larger) { self } else { other }
            }

            /// The smaller of the two, as `f32::min`: a NaN is ignored if the other is none.
            #[inline]
            pub const fn min(self, other: Self) -> Self {
                let smaller = value_key(self.to_bits()) < value_key(other.to_bits());
                if other.is_nan() || (!self.is_nan() && smaller) { self } else { other }
            }

            /// The value, or the end of the range that it is beyond, as `f32::clamp`: a NaN stays.
            ///
            /// # Panics
            /// If `min` is above `max`, or one of them is NaN.
            #[inline]
            #[track_caller]
            pub const fn clamp(self, min: Self, max: Self) -> Self {
                let ordered = value_key(min.to_bits()) <= value_key(max.to_bits());
                assert!(ordered && !min.is_nan() && !max.is_nan(), "clamp: min above max, or NaN");
                let key = value_key(self.to_bits());
                if self.is_nan() {
                    self
                } else if key < value_key(min.to_bits()) {
                    min
                } else if key > value_key(max.to_bits()) {
                    max
                } else {
                    self
                }
            }

            /// A total order over all codes, as `f32::total_cmp`: negative NaN, negative infinity,
            /// negative numbers, -0, +0, positive numbers, positive infinity, positive NaN.
            /// The NaN of an FNUZ format counts as negative.
            #[inline]
            pub const fn total_cmp(&self, other: &Self) -> Ordering {
                let (a, b) = (self.total_key(), other.total_key());
                if a < b {
                    Ordering::Less
                } else if a > b {
                    Ordering::Greater
                } else {
                    Ordering::Equal
                }
            }

            const fn total_key(&self) -> i16 {
                let bits = self.to_bits();
                if Self::FORMAT.fnuz && self.is_nan() {
                    i16::MIN
                } else if bits & 0x80 != 0 {
                    value_key(bits) - 1
                } else {
                    value_key(bits)
                }
            }
        }
    )*};
}

order! { F8E4M3 F8E5M2 F8E4M3Fnuz F8E5M2Fnuz }
