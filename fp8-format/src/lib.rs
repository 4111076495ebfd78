//! Bit-exact FP8 codecs: E4M3, E5M2 and the FNUZ variants, scalar and slices, no_std.
#![cfg_attr(not(feature = "std"), no_std)]

mod code;
mod convert;
mod element_type;
mod error;
mod format;
mod fp8;
mod ieee;
mod int8;
mod round;
mod slice;
mod source;
mod types;

pub use code::Code;
pub use element_type::ElementType;
pub use error::Error;
pub use format::Overflow;
pub use fp8::Fp8;
pub use slice::{
    absmax, decode_slice, encode_slice, try_decode_slice, try_encode_slice, try_encode_slice_with,
};
pub use source::Source;
pub use types::{F8E4M3, F8E4M3Fnuz, F8E5M2, F8E5M2Fnuz};

/// Keeps the crate's traits to the crate's types.
mod sealed {
    pub trait Sealed {}
}
