//! Codes and the bytes they are made of, without copying.

use core::slice;

use crate::code::Code;

#[cfg(feature = "bytemuck")]
mod pod;

/// The bytes of codes.
#[inline]
pub fn codes_as_bytes<C: Code>(codes: &[C]) -> &[u8] {
    // SAFETY: `Code` is sealed, and each of its types is one byte without padding.
    unsafe { slice::from_raw_parts(codes.as_ptr().cast(), codes.len()) }
}

/// The bytes of codes, for writing.
#[inline]
pub fn codes_as_bytes_mut<C: Code>(codes: &mut [C]) -> &mut [u8] {
    // SAFETY: as above, and every byte is a valid code.
    unsafe { slice::from_raw_parts_mut(codes.as_mut_ptr().cast(), codes.len()) }
}

/// Bytes as codes.
#[inline]
pub fn bytes_as_codes<C: Code>(bytes: &[u8]) -> &[C] {
    // SAFETY: `Code` is sealed; each of its types is one byte, of which every pattern is valid.
    unsafe { slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len()) }
}

/// Bytes as codes, for writing.
#[inline]
pub fn bytes_as_codes_mut<C: Code>(bytes: &mut [u8]) -> &mut [C] {
    // SAFETY: as above.
    unsafe { slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), bytes.len()) }
}
