//! SIMD code, chosen by detection. Nothing outside this folder knows an instruction set.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(all(target_arch = "x86_64", feature = "unverified-simd"))]
mod avx512;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(all(target_arch = "x86_64", feature = "unverified-simd"))]
pub(crate) use avx512::Avx512;
