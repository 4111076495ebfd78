//! The slice kernels, one element at a time: the specification of the SIMD ones.

use crate::code::Code;
use crate::format::Overflow;
use crate::source::Source;

pub(crate) fn encode<S: Source, C: Code>(src: &[S], scale: f32, overflow: Overflow, dst: &mut [C]) {
    for (code, x) in dst.iter_mut().zip(src) {
        let x = x.to_f32();
        // The sign of a NaN that went through arithmetic is not specified: it is put back. For
        // any other quotient, the scale being positive, this changes nothing.
        *code = C::encode((x / scale).copysign(x), overflow);
    }
}

pub(crate) fn decode<C: Code, D: Source>(src: &[C], scale: f32, dst: &mut [D]) {
    for (x, code) in dst.iter_mut().zip(src) {
        let value = code.decode();
        *x = D::from_f32(if value.is_nan() { value } else { value * scale });
    }
}

pub(crate) fn absmax<S: Source>(src: &[S]) -> f32 {
    let mut max = 0.0;
    for x in src {
        let x = x.to_f32().abs();
        if x.is_nan() {
            return f32::NAN;
        }
        if x > max {
            max = x;
        }
    }
    max
}
