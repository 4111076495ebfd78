//! Formatting: a value prints as the `f32` it is, which is exact.

use core::fmt;

use super::{F8E4M3, F8E4M3Fnuz, F8E5M2, F8E5M2Fnuz};

macro_rules! forward_fmt {
    ($($name:ident)*) => {$(
        forward_fmt! { @traits $name: Debug Display LowerExp UpperExp }
        forward_fmt! { @bits $name: Binary LowerHex UpperHex }
    )*};
    (@traits $name:ident: $($t:ident)*) => {$(
        impl fmt::$t for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::$t::fmt(&self.to_f32(), f)
            }
        }
    )*};
    // Integers' formats show the bits, as for `half::f16`.
    (@bits $name:ident: $($t:ident)*) => {$(
        impl fmt::$t for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::$t::fmt(&self.to_bits(), f)
            }
        }
    )*};
}

forward_fmt! { F8E4M3 F8E5M2 F8E4M3Fnuz F8E5M2Fnuz }
