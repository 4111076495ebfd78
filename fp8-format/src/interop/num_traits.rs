//! Feature `num-traits`: the traits that need no arithmetic.

use num_traits::{AsPrimitive, Bounded, ToPrimitive};

use crate::{F8E4M3, F8E4M3Fnuz, F8E5M2, F8E5M2Fnuz};

macro_rules! numbers {
    ($($name:ident)*) => {$(
        impl Bounded for $name {
            fn min_value() -> Self {
                Self::MIN_CODE
            }

            fn max_value() -> Self {
                Self::MAX_CODE
            }
        }

        impl ToPrimitive for $name {
            fn to_i64(&self) -> Option<i64> {
                (*self).to_f32().to_i64()
            }

            fn to_u64(&self) -> Option<u64> {
                (*self).to_f32().to_u64()
            }

            fn to_f32(&self) -> Option<f32> {
                Some((*self).to_f32())
            }

            fn to_f64(&self) -> Option<f64> {
                Some((*self).to_f64())
            }
        }

        impl AsPrimitive<f32> for $name {
            fn as_(self) -> f32 {
                self.to_f32()
            }
        }

        impl AsPrimitive<f64> for $name {
            fn as_(self) -> f64 {
                self.to_f64()
            }
        }
    )*};
}

numbers! { F8E4M3 F8E5M2 F8E4M3Fnuz F8E5M2Fnuz }
