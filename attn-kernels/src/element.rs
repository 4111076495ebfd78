//! Stored elements in scalar code: the specification that SIMD is checked against.

use fp8_format::{ElementType, F8E4M3, F8E4M3Fnuz, F8E5M2, F8E5M2Fnuz, MIN_DYNAMIC_SCALE};
use fp8_format::{decode_slice, encode_slice};
use half::{bf16, f16};

use crate::mem::{codes, codes_mut};

/// Stores `src / scale` into `dst`, which has `stored.size()` bytes per element (little endian).
pub(crate) fn encode(stored: ElementType, src: &[f32], scale: f32, dst: &mut [u8]) {
    match stored {
        ElementType::F32 => put(src, dst, f32::to_le_bytes),
        ElementType::F16 => put(src, dst, |x| f16::from_f32(x).to_le_bytes()),
        ElementType::Bf16 => put(src, dst, |x| bf16::from_f32(x).to_le_bytes()),
        ElementType::F8E4M3 => encode_slice(src, scale, codes_mut::<F8E4M3>(dst)),
        ElementType::F8E5M2 => encode_slice(src, scale, codes_mut::<F8E5M2>(dst)),
        ElementType::F8E4M3Fnuz => encode_slice(src, scale, codes_mut::<F8E4M3Fnuz>(dst)),
        ElementType::F8E5M2Fnuz => encode_slice(src, scale, codes_mut::<F8E5M2Fnuz>(dst)),
        ElementType::Int8 => encode_slice(src, scale, codes_mut::<i8>(dst)),
    }
}

/// Reads the codes of `src` as numbers, without their scale. Exact for every type.
pub(crate) fn decode(stored: ElementType, src: &[u8], dst: &mut [f32]) {
    match stored {
        ElementType::F32 => get(src, dst, f32::from_le_bytes),
        ElementType::F16 => get(src, dst, |b| f16::from_le_bytes(b).to_f32()),
        ElementType::Bf16 => get(src, dst, |b| bf16::from_le_bytes(b).to_f32()),
        ElementType::F8E4M3 => decode_slice(codes::<F8E4M3>(src), 1.0, dst),
        ElementType::F8E5M2 => decode_slice(codes::<F8E5M2>(src), 1.0, dst),
        ElementType::F8E4M3Fnuz => decode_slice(codes::<F8E4M3Fnuz>(src), 1.0, dst),
        ElementType::F8E5M2Fnuz => decode_slice(codes::<F8E5M2Fnuz>(src), 1.0, dst),
        ElementType::Int8 => decode_slice(codes::<i8>(src), 1.0, dst),
    }
}

/// The scale that a row gets when it is stored: it uses the whole range for the finite elements;
/// infinities saturate and NaN stays NaN, whatever else is in the row.
pub(crate) fn dynamic_scale(stored: ElementType, row: &[f32]) -> f32 {
    (finite_absmax(row) / stored.max()).max(MIN_DYNAMIC_SCALE)
}

/// The largest magnitude among a row's finite elements; 0 where there is none.
pub(crate) fn finite_absmax(row: &[f32]) -> f32 {
    let absmax = fp8_format::absmax(row);
    if absmax.is_finite() {
        return absmax;
    }
    row.iter().map(|x| x.abs()).filter(|x| x.is_finite()).fold(0.0, f32::max)
}

/// Stores one row as its side wants it: with the scale given, or with one of its own, which goes
/// to `own`, 4 bytes, little endian.
pub(crate) fn store(
    stored: ElementType,
    row: &[f32],
    given: f32,
    codes: &mut [u8],
    own: &mut [u8],
) {
    let mut scale = given;
    if !own.is_empty() {
        scale = dynamic_scale(stored, row);
        own.copy_from_slice(&scale.to_le_bytes());
    }
    encode(stored, row, scale, codes);
}

/// Makes `x / scale` what its codes mean, without the scale. `stored` has one byte per element.
pub(crate) fn round(stored: ElementType, x: &mut [f32], scale: f32) {
    let mut codes = [0; 256];
    for x in x.chunks_mut(codes.len()) {
        let codes = &mut codes[..x.len()];
        encode(stored, x, scale, codes);
        decode(stored, codes, x);
    }
}

fn put<const N: usize>(src: &[f32], dst: &mut [u8], to_bytes: impl Fn(f32) -> [u8; N]) {
    let (dst, _) = dst.as_chunks_mut::<N>();
    for (d, &x) in dst.iter_mut().zip(src) {
        *d = to_bytes(x);
    }
}

fn get<const N: usize>(src: &[u8], dst: &mut [f32], from_bytes: impl Fn([u8; N]) -> f32) {
    let (src, _) = src.as_chunks::<N>();
    for (d, &b) in dst.iter_mut().zip(src) {
        *d = from_bytes(b);
    }
}
