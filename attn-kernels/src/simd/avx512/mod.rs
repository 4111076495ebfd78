//! AVX-512 (F, BW, DQ, VL): dot products and weighted sums in vectors of 512 bits; the softmax and
//! the merge are AVX2's. Only with feature `unverified-simd`.

mod accumulate;
mod codec;
mod scores;

use fp8_format::ElementType;

use self::codec::{Bf16, Codec, E4M3, E4M3Fnuz, E5M2, E5M2Fnuz, F16, F32, Int8};
use super::Avx2;
use crate::cpu::kernels::{Kernels, SideKernels};

/// Proof that this machine has AVX-512 F, BW, DQ and VL, and what [`Avx2`] stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx512(Avx2);

impl Avx512 {
    /// Asks the processor.
    pub(crate) fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        if has { Avx2::detect().map(Self) } else { None }
    }

    /// The table for one pair of storage types.
    pub(crate) fn kernels(self, k: ElementType, v: ElementType) -> Kernels {
        let narrow = self.0.kernels(k, v);
        Kernels {
            k: widen(narrow.k, k),
            v: widen(narrow.v, v),
            tile: widen(narrow.tile, ElementType::F32),
            ..narrow
        }
    }
}

/// Only reached through an [`Avx512`]: what the functions in the table rely on.
fn widen(narrow: SideKernels, stored: ElementType) -> SideKernels {
    match stored {
        ElementType::F32 => of::<F32, F32>(narrow),
        ElementType::F16 => of::<F16, F16>(narrow),
        ElementType::Bf16 => of::<Bf16, Bf16>(narrow),
        ElementType::F8E4M3 => of::<E4M3<false>, E4M3<true>>(narrow),
        ElementType::F8E5M2 => of::<E5M2, E5M2>(narrow),
        ElementType::F8E4M3Fnuz => of::<E4M3Fnuz<false>, E4M3Fnuz<true>>(narrow),
        ElementType::F8E5M2Fnuz => of::<E5M2Fnuz<false>, E5M2Fnuz<true>>(narrow),
        ElementType::Int8 => of::<Int8, Int8>(narrow),
    }
}

/// `C` misreads NaN codes where `S`, for suspect tokens, does not. Both leave out what AVX2 does.
fn of<C: Codec, S: Codec>(narrow: SideKernels) -> SideKernels {
    SideKernels {
        scores: scores::scores::<C, S>,
        accumulate: accumulate::accumulate::<C, S>,
        ..narrow
    }
}
