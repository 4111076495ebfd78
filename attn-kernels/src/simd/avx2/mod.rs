//! AVX2 with FMA and F16C.

mod accumulate;
mod codec;
mod exp;
mod fp8;
mod integer;
mod scores;
mod softmax;
mod subnormal;

use std::arch::x86_64::*;

use fp8_format::ElementType;

use self::codec::{Bf16, Codec, F16, F32, Int8, Storage};
use self::fp8::{E4M3, E4M3Fnuz, E5M2, E5M2Fnuz};
use crate::cpu::care::Care;
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
        ElementType::F32 => of::<F32>(),
        ElementType::F16 => of::<F16>(),
        ElementType::Bf16 => of::<Bf16>(),
        ElementType::F8E4M3 => of::<E4M3>(),
        ElementType::F8E5M2 => of::<E5M2>(),
        ElementType::F8E4M3Fnuz => of::<E4M3Fnuz>(),
        ElementType::F8E5M2Fnuz => of::<E5M2Fnuz>(),
        ElementType::Int8 => of::<Int8>(),
    }
}

fn of<S: Storage>() -> SideKernels {
    SideKernels {
        scores: scores::scores::<S>,
        accumulate: accumulate::accumulate::<S>,
        decode: decode::<S>,
        order: S::ORDER,
        gains: S::GAINS,
        factor: S::FACTOR,
        minds_subnormals: subnormal::are_minded(),
    }
}

fn decode<S: Storage>(tokens: &Tokens<'_>, tile: &mut [f32]) {
    tokens.check(S::Plain::SIZE);
    assert!(tile.len() >= tokens.count * tokens.head_dim);
    // A tile is read by many rows: it has no subnormals.
    // SAFETY: the lengths were checked; the table this is in exists only where AVX2 was detected.
    unsafe {
        if tokens.care == Care::Nan {
            decode_avx2::<S::Nan>(tokens, S::GAINS[1], tile);
        } else {
            decode_avx2::<S::Subnormal>(tokens, S::GAINS[1], tile);
        }
    }
}

/// # Safety
/// AVX2, FMA and F16C; `tokens` checked; `tile` holds all of them.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn decode_avx2<C: Codec>(tokens: &Tokens<'_>, gain: f32, tile: &mut [f32]) {
    let d = tokens.head_dim;
    for t in 0..tokens.count {
        // SAFETY: both offsets stay inside what the caller checked.
        unsafe {
            let gain = _mm256_set1_ps(gain);
            let src = tokens.bytes.as_ptr().add(t * tokens.stride);
            let dst = tile.as_mut_ptr().add(t * d);
            let grouped = d - d % 32;
            for i in (0..grouped).step_by(32) {
                for (j, x) in C::quad(src.add(i * C::SIZE)).into_iter().enumerate() {
                    _mm256_storeu_ps(dst.add(i + 8 * j), _mm256_mul_ps(x, gain));
                }
            }
            for i in (grouped..d).step_by(8) {
                let x = C::single(src.add(i * C::SIZE));
                _mm256_storeu_ps(dst.add(i), _mm256_mul_ps(x, gain));
            }
        }
    }
}
