//! Vector code: which instruction set this processor has, the conversions in registers for kernels
//! that must not go through memory, and the slice kernels made of them.
//!
//! The slice functions of this crate choose by themselves. A kernel of your own does its choice
//! once, at its own outermost level, and calls the conversions inside functions of the same target
//! features, so that they are inlined:
//!
//! ```
//! # #[cfg(target_arch = "x86_64")] {
//! use core::arch::x86_64::*;
//! use fp8_format::{F8E4M3, simd::{Isa, avx2}};
//!
//! /// The sum of sixteen codes, which are never stored as floats.
//! #[target_feature(enable = "avx2,f16c")]
//! fn sum(codes: &[F8E4M3; 16]) -> f32 {
//!     let [low, high] = avx2::decode_f32x16::<F8E4M3>(avx2::load_codes(codes));
//!     let mut lanes = [0.0; 8];
//!     avx2::store(_mm256_add_ps(low, high), &mut lanes);
//!     lanes.iter().sum()
//! }
//!
//! if Isa::detected() >= Isa::Avx2 {
//!     // SAFETY: the processor has AVX2 and F16C.
//!     assert_eq!(unsafe { sum(&[F8E4M3::ONE; 16]) }, 16.0);
//! }
//! # }
//! ```

#[cfg(target_arch = "x86_64")]
pub mod avx2;
#[cfg(all(target_arch = "x86_64", feature = "unverified-simd"))]
mod avx512;
mod isa;
mod kernels;
#[cfg(feature = "unverified-simd")]
mod lanes;
#[cfg(all(target_arch = "aarch64", feature = "unverified-simd"))]
mod neon;

pub use isa::Isa;
pub(crate) use kernels::Kernels;
