//! What a slice is encoded to: the four FP8 types and `i8`.

use crate::element_type::ElementType;
use crate::format::Overflow;
use crate::sealed::Sealed;
use crate::{F8E4M3, F8E4M3Fnuz, F8E5M2, F8E5M2Fnuz};

/// A one-byte type that slices are encoded to and decoded from: an FP8 type or `i8`. Sealed.
///
/// `i8` is the symmetric INT8 of a KV cache: `clamp(round_half_even(x), -127, 127)`, NaN is 0.
pub trait Code: Copy + Send + Sync + 'static + Sealed {
    /// The type as a run-time value.
    const ELEMENT_TYPE: ElementType;

    /// The nearest code, ties to even. `i8` saturates under either policy, having neither
    /// infinity nor NaN.
    fn encode(x: f32, overflow: Overflow) -> Self;

    /// The exact value.
    fn decode(self) -> f32;
}

macro_rules! code {
    ($($name:ident)*) => {$(
        impl Sealed for $name {}

        impl Code for $name {
            const ELEMENT_TYPE: ElementType = ElementType::$name;

            #[inline]
            fn encode(x: f32, overflow: Overflow) -> Self {
                Self::from_f32(x, overflow)
            }

            #[inline]
            fn decode(self) -> f32 {
                self.to_f32()
            }
        }
    )*};
}

code! { F8E4M3 F8E5M2 F8E4M3Fnuz F8E5M2Fnuz }
