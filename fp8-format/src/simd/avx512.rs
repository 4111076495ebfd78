//! AVX-512 (F, BW, DQ, VL): the lanes in vectors of 512 bits. Only with feature `unverified-simd`.

use super::lanes;
use crate::code::Code;
use crate::format::Overflow;
use crate::source::Source;

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn encode<S: Source, C: Code>(src: &[S], scale: f32, overflow: Overflow, dst: &mut [C]) {
    lanes::encode(src, scale, overflow, dst);
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn decode<C: Code, D: Source>(src: &[C], scale: f32, dst: &mut [D]) {
    lanes::decode(src, scale, dst);
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn absmax<S: Source>(src: &[S]) -> f32 {
    lanes::absmax(src)
}
