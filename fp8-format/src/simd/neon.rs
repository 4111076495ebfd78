//! NEON, which every AArch64 processor has: the lanes in vectors of 128 bits. Only with feature
//! `unverified-simd`. Never executed.

use super::lanes;
use crate::code::Code;
use crate::format::Overflow;
use crate::source::Source;

pub(super) fn encode<S: Source, C: Code>(src: &[S], scale: f32, overflow: Overflow, dst: &mut [C]) {
    lanes::encode(src, scale, overflow, dst);
}

pub(super) fn decode<C: Code, D: Source>(src: &[C], scale: f32, dst: &mut [D]) {
    lanes::decode(src, scale, dst);
}

pub(super) fn absmax<S: Source>(src: &[S]) -> f32 {
    lanes::absmax(src)
}
