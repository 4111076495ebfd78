//! AVX-512 (F, BW, DQ, VL): dot products and weighted sums in vectors of 512 bits; the softmax and
//! the merge are AVX2's. Only with feature `unverified-simd`.

mod accumulate;
mod codec;
mod scores;

use std::arch::x86_64::*;

use fp8_format::ElementType;

use self::codec::{Bf16, Codec, E4M3, E4M3Fnuz, E5M2, E5M2Fnuz, F16, F32, Int8};
use super::Avx2;
use crate::cpu::care::Care;
use crate::cpu::kernels::{Kernels, SideKernels, Tokens};
use crate::cpu::order::Order;

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
        Kernels { k: side(k), v: side(v), tile: side(ElementType::F32), ..narrow }
    }
}

/// Only reached through an [`Avx512`]: what the functions in the table rely on.
fn side(stored: ElementType) -> SideKernels {
    match stored {
        ElementType::F32 => of::<F32, F32>(),
        ElementType::F16 => of::<F16, F16>(),
        ElementType::Bf16 => of::<Bf16, Bf16>(),
        ElementType::F8E4M3 => of::<E4M3<false>, E4M3<true>>(),
        ElementType::F8E5M2 => of::<E5M2, E5M2>(),
        ElementType::F8E4M3Fnuz => of::<E4M3Fnuz<false>, E4M3Fnuz<true>>(),
        ElementType::F8E5M2Fnuz => of::<E5M2Fnuz<false>, E5M2Fnuz<true>>(),
        ElementType::Int8 => of::<Int8, Int8>(),
    }
}

/// `C` misreads NaN codes where `S` does not. Subnormals are nothing special to either.
fn of<C: Codec, S: Codec>() -> SideKernels {
    SideKernels {
        scores: scores::scores::<C, S>,
        accumulate: accumulate::accumulate::<C, S>,
        decode: decode::<C, S>,
        order: Order::Natural,
        gains: [1.0; 2],
        factor: C::FACTOR,
        minds_subnormals: false,
    }
}

fn decode<C: Codec, S: Codec>(tokens: &Tokens<'_>, tile: &mut [f32]) {
    tokens.check(C::SIZE);
    assert!(tile.len() >= tokens.count * tokens.head_dim);
    // SAFETY: the lengths were checked; the table this is in exists only where AVX-512 was detected.
    unsafe {
        match tokens.care {
            Care::Nan => decode_avx512::<S>(tokens, tile),
            _ => decode_avx512::<C>(tokens, tile),
        }
    }
}

/// # Safety
/// AVX-512; `tokens` checked; `tile` holds all of them.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
unsafe fn decode_avx512<C: Codec>(tokens: &Tokens<'_>, tile: &mut [f32]) {
    let d = tokens.head_dim;
    for t in 0..tokens.count {
        // SAFETY: both offsets stay inside what the caller checked.
        unsafe {
            let src = tokens.bytes.as_ptr().add(t * tokens.stride);
            let dst = tile.as_mut_ptr().add(t * d);
            for i in (0..d - d % 16).step_by(16) {
                _mm512_storeu_ps(dst.add(i), C::all(src.add(i * C::SIZE)));
            }
            if !d.is_multiple_of(16) {
                let x = C::half(src.add((d - 8) * C::SIZE));
                _mm512_mask_storeu_ps(dst.add(d - 8), 0xff, x);
            }
        }
    }
}
