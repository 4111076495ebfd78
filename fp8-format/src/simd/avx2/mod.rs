//! AVX2 + F16C: conversions in registers. The bits are those of the scalar code, NaNs included.
//!
//! All are safe `#[target_feature]` functions: call them from functions that have `avx2,f16c`
//! too. They assume the default floating-point environment, as all of Rust does.
#![allow(
    clippy::missing_safety_doc,
    reason = "clippy takes safe functions with target features for unsafe ones"
)]

pub(super) mod absmax;
mod decode;
mod encode;
mod halves;
mod halves_decode;
mod halves_int8;
pub(super) mod slices;
mod streams;
mod wide;

pub use decode::{
    decode_f32x8, decode_f32x16, decode_f32x32, load_codes, load_codes_x32, raw_f32x8, raw_f32x16,
    raw_f32x32, raw_factor,
};
pub use encode::{encode_f32x8, encode_f32x32, store_codes};
pub use wide::{load, store};
