//! Bytes seen as one-byte codes.

use fp8_format::{F8E4M3, F8E4M3Fnuz, F8E5M2, F8E5M2Fnuz};

/// A one-byte type for which every byte is a value.
///
/// # Safety
/// The type is `u8` or `i8` or a `repr(transparent)` wrapper of one, with no invalid bit pattern.
pub(crate) unsafe trait ByteCode: fp8_format::Code {}

// SAFETY: `repr(transparent)` over `u8`, every bit pattern a code.
unsafe impl ByteCode for F8E4M3 {}
// SAFETY: as above.
unsafe impl ByteCode for F8E5M2 {}
// SAFETY: as above.
unsafe impl ByteCode for F8E4M3Fnuz {}
// SAFETY: as above.
unsafe impl ByteCode for F8E5M2Fnuz {}
// SAFETY: a primitive of one byte.
unsafe impl ByteCode for i8 {}

/// The bytes as codes.
pub(crate) fn codes<C: ByteCode>(bytes: &[u8]) -> &[C] {
    // SAFETY: `ByteCode` promises size 1, alignment 1 and that any byte is a value; the length and
    // the lifetime are those of `bytes`.
    unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len()) }
}

/// The bytes as codes to write.
pub(crate) fn codes_mut<C: ByteCode>(bytes: &mut [u8]) -> &mut [C] {
    // SAFETY: as in `codes`; every code is also a valid byte, and the borrow is exclusive.
    unsafe { std::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), bytes.len()) }
}

/// Numbers as the bytes they are stored as.
pub(crate) fn f32_bytes(numbers: &[f32]) -> &[u8] {
    // SAFETY: an f32 is 4 initialized bytes; the length and the lifetime are those of `numbers`.
    unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast(), size_of_val(numbers)) }
}
