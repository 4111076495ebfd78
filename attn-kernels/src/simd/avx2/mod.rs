//! AVX2 with FMA and F16C.

mod accumulate;
mod codec;
mod exp;
mod integer;
mod scores;
mod softmax;

use fp8_format::ElementType;

use self::codec::{Bf16, Codec, E4M3, E4M3Fnuz, E5M2, E5M2Fnuz, F16, F32, Int8};
use crate::cpu::integer::IntegerKernels;
use crate::cpu::kernels::{Kernels, SideKernels, Tokens};

/// Proof that this machine has AVX2, FMA and F16C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// Asks the processor.
    pub(crate) fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        has.then_some(Self(()))
    }

    /// The table for integer arithmetic.
    pub(crate) fn integer(self) -> IntegerKernels {
        integer::KERNELS
    }

    /// The table for one pair of storage types.
    pub(crate) fn kernels(self, k: ElementType, v: ElementType) -> Kernels {
        Kernels {
            k: side(k),
            v: side(v),
            tile: side(ElementType::F32),
            softmax: softmax::softmax,
            merge: softmax::merge,
        }
    }
}

/// Only reached through an [`Avx2`]: what the functions in the table rely on.
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

/// The primitives of a storage type: `C` misreads NaN codes where `S`, for suspect tokens, does not.
fn of<C: Codec, S: Codec>() -> SideKernels {
    SideKernels {
        scores: scores::scores::<C, S>,
        accumulate: accumulate::accumulate::<C, S>,
        decode: decode::<C, S>,
        factor: C::FACTOR,
    }
}

fn decode<C: Codec, S: Codec>(tokens: &Tokens<'_>, tile: &mut [f32]) {
    tokens.check(C::SIZE);
    assert!(tile.len() >= tokens.count * tokens.head_dim);
    // SAFETY: the lengths were checked; the table this is in exists only where AVX2 was detected.
    unsafe {
        if tokens.suspect { decode_avx2::<S>(tokens, tile) } else { decode_avx2::<C>(tokens, tile) }
    }
}

/// # Safety
/// AVX2, FMA and F16C; `tokens` checked; `tile` holds all of them.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn decode_avx2<C: Codec>(tokens: &Tokens<'_>, tile: &mut [f32]) {
    let d = tokens.head_dim;
    for t in 0..tokens.count {
        // SAFETY: both offsets stay inside what the caller checked.
        unsafe {
            let src = tokens.bytes.as_ptr().add(t * tokens.stride);
            let dst = tile.as_mut_ptr().add(t * d);
            for i in (0..d - d % 16).step_by(16) {
                let [a, b] = C::pair(src.add(i * C::SIZE));
                std::arch::x86_64::_mm256_storeu_ps(dst.add(i), a);
                std::arch::x86_64::_mm256_storeu_ps(dst.add(i + 8), b);
            }
            if !d.is_multiple_of(16) {
                let x = C::single(src.add((d - 8) * C::SIZE));
                std::arch::x86_64::_mm256_storeu_ps(dst.add(d - 8), x);
            }
        }
    }
}
