//! SIMD code, chosen by detection. Nothing outside this folder knows an instruction set.

#[cfg(target_arch = "x86_64")]
mod avx2;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
