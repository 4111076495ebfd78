//! The table of slice kernels for one pair of types: the one place where an instruction set is
//! chosen.

use crate::code::Code;
use crate::format::Overflow;
use crate::scalar;
use crate::simd::Isa;
#[cfg(target_arch = "x86_64")]
use crate::simd::avx2::{absmax as avx2_absmax, slices as avx2};
#[cfg(all(target_arch = "x86_64", feature = "unverified-simd"))]
use crate::simd::avx512;
#[cfg(all(target_arch = "aarch64", feature = "unverified-simd"))]
use crate::simd::neon;
use crate::source::Source;

/// Slice kernels from and to `S`, for codes `C`. Lengths and scales are checked by the callers.
pub(crate) struct Kernels<S: 'static, C: 'static> {
    encode: unsafe fn(&[S], f32, Overflow, &mut [C]),
    decode: unsafe fn(&[C], f32, &mut [S]),
    absmax: unsafe fn(&[S]) -> f32,
}

impl<S: Source, C: Code> Kernels<S, C> {
    const SCALAR: Self =
        Self { encode: scalar::encode, decode: scalar::decode, absmax: scalar::absmax };

    #[cfg(target_arch = "x86_64")]
    const AVX2: Self =
        Self { encode: avx2::encode, decode: avx2::decode, absmax: avx2_absmax::absmax };

    #[cfg(all(target_arch = "x86_64", feature = "unverified-simd"))]
    const AVX512: Self =
        Self { encode: avx512::encode, decode: avx512::decode, absmax: avx512::absmax };

    #[cfg(all(target_arch = "aarch64", feature = "unverified-simd"))]
    const NEON: Self = Self { encode: neon::encode, decode: neon::decode, absmax: neon::absmax };

    /// The kernels for the instruction set of this processor.
    #[inline]
    pub(crate) fn get() -> &'static Self {
        match Isa::detected() {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => &Self::AVX2,
            #[cfg(all(target_arch = "x86_64", feature = "unverified-simd"))]
            Isa::Avx512 => &Self::AVX512,
            #[cfg(all(target_arch = "aarch64", feature = "unverified-simd"))]
            Isa::Neon => &Self::NEON,
            _ => &Self::SCALAR,
        }
    }

    #[inline]
    pub(crate) fn encode(&self, src: &[S], scale: f32, overflow: Overflow, dst: &mut [C]) {
        debug_assert_eq!(src.len(), dst.len());
        // SAFETY: `get`, the only maker of `Self`, chose kernels that this processor can run.
        unsafe { (self.encode)(src, scale, overflow, dst) }
    }

    #[inline]
    pub(crate) fn decode(&self, src: &[C], scale: f32, dst: &mut [S]) {
        debug_assert_eq!(src.len(), dst.len());
        // SAFETY: as for `encode`.
        unsafe { (self.decode)(src, scale, dst) }
    }

    #[inline]
    pub(crate) fn absmax(&self, src: &[S]) -> f32 {
        // SAFETY: as for `encode`.
        unsafe { (self.absmax)(src) }
    }
}
