//! Feature `float8`: the same bits in the types of crate `float8` 0.7, both ways.
//!
//! That crate always saturates when it encodes, and takes some NaN codes of E5M2 for numbers; the
//! bits are the same format's and are kept.

use crate::{F8E4M3, F8E5M2};

macro_rules! cast {
    ($($name:ident)*) => {$(
        impl From<float8::$name> for $name {
            #[inline]
            fn from(x: float8::$name) -> Self {
                Self::from_bits(x.to_bits())
            }
        }

        impl From<$name> for float8::$name {
            #[inline]
            fn from(x: $name) -> Self {
                Self::from_bits(x.to_bits())
            }
        }
    )*};
}

cast! { F8E4M3 F8E5M2 }
