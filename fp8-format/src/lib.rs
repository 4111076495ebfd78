//! Bit-exact FP8: the four 8-bit float formats, one value at a time or whole slices at the speed of
//! memory, without `std` and without ever allocating.
//!
//! # The decision, and its cost
//! **There is one right answer for every input, and every path gives it.** A scalar conversion takes
//! its source apart into integers and rounds once, to nearest, ties to even; nothing goes through a
//! format in between. That code is the specification. The vector code is checked against it on all
//! 2^32 `f32`, in every format and overflow mode, and the specification itself against an exact
//! search that shares no code with it (`examples/exhaustive.rs`), and against the tables of
//! `ml_dtypes` (`tests/data`).
//!
//! The cost: dividing by a scale is a true division, because multiplying by a reciprocal now and
//! then ends in a neighbouring code. It is the slowest instruction of the encoder, which does
//! 21.2 GB/s with a scale and 30.5 with `scale == 1.0` (256 KiB of `f32`, one Sapphire Rapids core,
//! `cargo xtask bench codec`; `f16` and `bf16` take less time per element than `f32` in both). And
//! a NaN is looked for in every vector, because a KV cache that turns NaN into 448 hides its own
//! bugs.
//!
//! # Example
//! ```
//! use fp8_format::{F8E4M3, Overflow, absmax, decode_slice, encode_slice};
//!
//! let keys = [0.02_f32, -1.7, 3.5, 0.0];
//! let scale = absmax(&keys) / F8E4M3::MAX; // real = code × scale
//! let mut codes = [F8E4M3::ZERO; 4];
//! encode_slice(&keys, scale, &mut codes);
//! assert_eq!(codes[2].to_f32(), 448.0);
//!
//! let mut back = [0.0_f32; 4];
//! decode_slice(&codes, scale, &mut back);
//! assert_eq!(back[2], 3.5);
//!
//! assert_eq!(F8E4M3::from_f32(1e9, Overflow::Saturate).to_f32(), 448.0);
//! assert!(F8E4M3::from_f32(1e9, Overflow::NonSaturating).is_nan());
//! ```
//!
//! # What is in it
//! | item | what it is |
//! |---|---|
//! | [`F8E4M3`], [`F8E5M2`] | the formats of OCP OFP8 1.0 |
//! | [`F8E4M3Fnuz`], [`F8E5M2Fnuz`] | their variants on AMD MI300 and Graphcore |
//! | [`F8E8M0`] | a power of two: the block scale of OCP MX |
//! | [`Fp8`] | what the four have in common, for generic code |
//! | [`Overflow`] | saturate, or become infinity or NaN |
//! | [`encode_slice`], [`decode_slice`], [`absmax`] | slices with one scale; each has a `try_` form for input that is not trusted |
//! | [`absmax_encode`] | a slice with a scale of its own |
//! | [`try_encode_rows`], [`try_decode_rows`], [`try_absmax_encode_rows`] | strided [`Rows`], a scale for each or for all |
//! | [`encode_slice_i8`], [`decode_slice_i8`] | symmetric INT8, by the same rules |
//! | [`Code`], [`Source`] | either side of a slice: FP8 or `i8`; `f32`, `f16` or `bf16` |
//! | [`ElementType`] | any of these as a run-time value |
//! | [`simd`] | conversions in vector registers, for kernels |
//!
//! # The formats
//! | type | exponent, mantissa | bias | largest | smallest normal | smallest | infinity | NaN |
//! |---|---|---|---|---|---|---|---|
//! | [`F8E4M3`] | 4, 3 | 7 | ±448 | 2^-6 | 2^-9 | no | 0x7f, 0xff |
//! | [`F8E5M2`] | 5, 2 | 15 | ±57344 | 2^-14 | 2^-16 | 0x7c, 0xfc | 0x7d-0x7f, 0xfd-0xff |
//! | [`F8E4M3Fnuz`] | 4, 3 | 8 | ±240 | 2^-7 | 2^-10 | no | 0x80 |
//! | [`F8E5M2Fnuz`] | 5, 2 | 16 | ±57344 | 2^-15 | 2^-17 | no | 0x80 |
//!
//! The ±240 often quoted for "E4M3" is the range of the FNUZ variant; OCP's E4M3 reaches ±448. The
//! FNUZ formats have no negative zero: its bits are their NaN. The same bits mean half as much in
//! FNUZ as in OCP, see [`F8E4M3::halve_to_fnuz`]. `examples/format_table.rs` prints all 256 values.
//!
//! # Overflow and NaN
//! | input | [`Saturate`](Overflow::Saturate) | [`NonSaturating`](Overflow::NonSaturating) |
//! |---|---|---|
//! | rounds beyond the largest value | ± the largest | E5M2: infinity; others: NaN |
//! | infinity | ± the largest | E5M2: infinity; others: NaN |
//! | NaN | NaN | NaN |
//!
//! "Rounds beyond" is: |x| > 464 for E4M3 (464 is a tie and goes to 448), |x| ≥ 61440 for both
//! E5M2, |x| ≥ 248 for E4M3 FNUZ. Slices saturate, as a KV cache should: one outlier costs its own
//! accuracy and nothing else.
//!
//! A NaN is encoded as 0x7f or 0xff (E4M3), 0x7e or 0xfe (E5M2), by its sign, as `ml_dtypes` does;
//! NVIDIA's hardware drops the sign. All NaN codes decode to the quiet NaN with an empty payload
//! and the sign bit of the code.
//!
//! # No arithmetic
//! The types have no `+` or `×`. The sum of two FP8 numbers is rarely one, so operators would hide
//! a rounding, and an overflow policy, in every step of an expression. Widen, which is exact and is
//! what hardware does (`f32::from(x)`; also to `f64`, `f16`, `bf16`), compute there, and narrow by a
//! named call. For the same reason limits such as [`F8E4M3::MAX`] are `f32`; [`F8E4M3::MAX_CODE`]
//! is the code.
//!
//! # Features
//! | feature | default | what it adds |
//! |---|---|---|
//! | `std` | yes | finds the instruction set at run time; without it (the crate is `no_std` then) it is the one compiled for |
//! | `half` | yes | `half::f16` and `half::bf16` as sources and destinations |
//! | `bytemuck` | | `Pod`, `Zeroable`, `TransparentWrapper` |
//! | `serde` | | values as their bits, a `u8`: exact, NaN included |
//! | `num-traits` | | `Bounded`, `ToPrimitive`, `AsPrimitive` |
//! | `float8` | | casts from and to crate `float8`'s types, bits unchanged |
//! | `unverified-simd` | | slices on AVX-512 and NEON too, from lane code in plain Rust that the compiler vectorises. AVX-512 has passed `examples/exhaustive.rs` on two processors (AMD Zen 4, Intel Xeon with AVX512-FP16: 0 differences) and is no faster than AVX2 on the first; NEON has never been executed |
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
