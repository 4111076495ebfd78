//! Slices: `real = code × scale`, in both directions, and the largest magnitude.

mod rows;

pub use rows::{
    MIN_DYNAMIC_SCALE, Rows, absmax_encode, try_absmax_encode, try_absmax_encode_rows,
    try_decode_rows, try_encode_rows,
};

use crate::code::Code;
use crate::error::{Error, check_scale};
use crate::format::Overflow;
use crate::simd::Kernels;
use crate::source::Source;

/// Encodes `src[i] / scale` into `dst[i]`, saturating.
///
/// The quotient is an IEEE `f32` division, then one rounding to nearest, ties to even: what torch
/// and vLLM compute, and not the same as multiplying by a reciprocal.
///
/// # Panics
/// If the lengths differ, or `scale` is not finite and greater than zero.
/// [`try_encode_slice`] returns an error instead.
#[inline]
#[track_caller]
pub fn encode_slice<S: Source, C: Code>(src: &[S], scale: f32, dst: &mut [C]) {
    if let Err(error) = try_encode_slice(src, scale, dst) {
        panic!("encode_slice: {error}");
    }
}

/// As [`encode_slice`], returning an error where that panics; nothing is written then.
#[inline]
pub fn try_encode_slice<S: Source, C: Code>(
    src: &[S],
    scale: f32,
    dst: &mut [C],
) -> Result<(), Error> {
    try_encode_slice_with(src, scale, Overflow::Saturate, dst)
}

/// As [`try_encode_slice`], with the policy on overflow given.
#[inline]
pub fn try_encode_slice_with<S: Source, C: Code>(
    src: &[S],
    scale: f32,
    overflow: Overflow,
    dst: &mut [C],
) -> Result<(), Error> {
    check_lengths(src.len(), dst.len())?;
    check_scale(scale)?;
    Kernels::get().encode(src, scale, overflow, dst);
    Ok(())
}

/// Decodes `src[i] × scale` into `dst[i]`: one `f32` multiplication, then, for a narrower
/// destination, rounding to nearest, ties to even.
///
/// # Panics
/// If the lengths differ, or `scale` is not finite and greater than zero.
/// [`try_decode_slice`] returns an error instead.
#[inline]
#[track_caller]
pub fn decode_slice<C: Code, D: Source>(src: &[C], scale: f32, dst: &mut [D]) {
    if let Err(error) = try_decode_slice(src, scale, dst) {
        panic!("decode_slice: {error}");
    }
}

/// As [`decode_slice`], returning an error where that panics; nothing is written then.
#[inline]
pub fn try_decode_slice<C: Code, D: Source>(
    src: &[C],
    scale: f32,
    dst: &mut [D],
) -> Result<(), Error> {
    check_lengths(src.len(), dst.len())?;
    check_scale(scale)?;
    Kernels::get().decode(src, scale, dst);
    Ok(())
}

/// The largest magnitude in `src`: NaN if any element is NaN, 0 if there are none.
#[inline]
pub fn absmax<S: Source>(src: &[S]) -> f32 {
    // Any code will do: the kernel knows the source only.
    Kernels::<S, i8>::get().absmax(src)
}

fn check_lengths(src: usize, dst: usize) -> Result<(), Error> {
    if src == dst { Ok(()) } else { Err(Error::LengthMismatch { src, dst }) }
}
