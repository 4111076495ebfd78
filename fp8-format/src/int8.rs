//! Symmetric INT8, the other one-byte type of a KV cache.

use crate::code::Code;
use crate::element_type::ElementType;
use crate::error::Error;
use crate::format::Overflow;
use crate::sealed::Sealed;
use crate::slice::{decode_slice, encode_slice, try_decode_slice, try_encode_slice};
use crate::source::Source;

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

/// [`encode_slice`] to INT8: `clamp(round_half_even(x / scale), -127, 127)`, NaN becomes 0.
///
/// # Panics
/// As [`encode_slice`].
#[inline]
#[track_caller]
pub fn encode_slice_i8<S: Source>(src: &[S], scale: f32, dst: &mut [i8]) {
    encode_slice(src, scale, dst);
}

/// [`try_encode_slice`] to INT8.
#[inline]
pub fn try_encode_slice_i8<S: Source>(src: &[S], scale: f32, dst: &mut [i8]) -> Result<(), Error> {
    try_encode_slice(src, scale, dst)
}

/// [`decode_slice`] from INT8. The code -128, which encoding never makes, is -128.
///
/// # Panics
/// As [`decode_slice`].
#[inline]
#[track_caller]
pub fn decode_slice_i8<D: Source>(src: &[i8], scale: f32, dst: &mut [D]) {
    decode_slice(src, scale, dst);
}

/// [`try_decode_slice`] from INT8.
#[inline]
pub fn try_decode_slice_i8<D: Source>(src: &[i8], scale: f32, dst: &mut [D]) -> Result<(), Error> {
    try_decode_slice(src, scale, dst)
}
