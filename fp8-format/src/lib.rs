//! Bit-exact FP8 codecs: E4M3, E5M2 and the FNUZ variants, scalar and slices, no_std.
#![cfg_attr(not(feature = "std"), no_std)]

mod code;
mod convert;
mod e8m0;
mod element_type;
mod error;
mod format;
mod fp8;
mod ieee;
mod int8;
mod interop;
mod mem;
mod reinterpret;
mod round;
mod scalar;
pub mod simd;
mod slice;
mod source;
mod types;

pub use code::Code;
pub use e8m0::F8E8M0;
pub use element_type::ElementType;
pub use error::{Error, ParseError};
pub use format::Overflow;
pub use fp8::Fp8;
pub use int8::{decode_slice_i8, encode_slice_i8, try_decode_slice_i8, try_encode_slice_i8};
pub use mem::{bytes_as_codes, bytes_as_codes_mut, codes_as_bytes, codes_as_bytes_mut};
pub use slice::{
    MIN_DYNAMIC_SCALE, Rows, absmax, absmax_encode, decode_slice, encode_slice, try_absmax_encode,
    try_absmax_encode_rows, try_decode_rows, try_decode_slice, try_encode_rows, try_encode_slice,
    try_encode_slice_with,
};
pub use source::Source;
pub use types::{F8E4M3, F8E4M3Fnuz, F8E5M2, F8E5M2Fnuz};

/// Keeps the crate's traits to the crate's types.
mod sealed {
    pub trait Sealed {}
}
