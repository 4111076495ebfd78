//! Symmetric INT8, the other one-byte type of a KV cache.

use crate::code::Code;
use crate::element_type::ElementType;
use crate::format::Overflow;
use crate::sealed::Sealed;

impl Sealed for i8 {}

impl Code for i8 {
    const ELEMENT_TYPE: ElementType = ElementType::Int8;

    #[inline]
    fn encode(x: f32, _: Overflow) -> Self {
        // 1.5 × 2^23: the sum's last place is 1, so the addition rounds to an integer, ties to
        // even. (`f32::round_ties_even` is not in `core`.)
        const MAGIC: f32 = 12_582_912.0;
        // A NaN passes the clamp and becomes 0 in the cast.
        (x.clamp(-127.0, 127.0) + MAGIC - MAGIC) as Self
    }

    #[inline]
    fn decode(self) -> f32 {
        f32::from(self)
    }
}
