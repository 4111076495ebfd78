//! What the numbers do: the semantics of PTX's conversions, arithmetic, comparisons, approximations
//! and matrix products as pure functions on bits. Knows no machine, holds no state, allocates nothing;
//! a result is the same on every host.
//!
//! Two layers:
//! - **By type**: [`cvt`], [`cvt_pair`], [`cvt_stochastic`], [`float_bin`], [`float_ter`], [`float_un`],
//!   [`compare`] and [`testp`] take the types and modifiers of [`crate::isa`] and do every form, one lane
//!   per call.
//! - **By lane**: `f32_add` … `f32_ex2`, `half_fma::<F16>` … do the common forms (to nearest) with no
//!   dispatch; they inline into a loop over 32 lanes, and LLVM makes vector code of most.
//!
//! Bits are in the low end of the operand; what is above the type is ignored, and zero in a result
//! (sign-extended where `cvt` makes a signed integer).
//!
//! | matter | what is done |
//! |---|---|
//! | rounding | once, correctly, in every mode (`real`: exact integers; fast paths tested against it) |
//! | NaN | f32 0x7fffffff, f16 and bf16 0x7fff, FP8 0x7f; f64 keeps the payload of the first NaN operand |
//! | `.ftz` | subnormal operands and results (after rounding) become zeros of their sign |
//! | approximations | within the documented error; hardware differs in the last bits |
//! | `mma` | exact products, summed in f64 in the order of k starting from C, rounded once; hardware sums in another order and truncates |

mod approx;
mod cvt;
mod float;
mod format;
mod fragment;
mod half;
mod matrix;
mod narrow;
mod real;
mod single;

#[cfg(test)]
mod tests;

pub(crate) use approx::{f32_div_approx, f32_ex2, f32_rsqrt};
pub(crate) use cvt::{cvt, cvt_pair, cvt_stochastic};
pub(crate) use float::{compare, float_bin, float_ter, float_un, testp};
pub(crate) use fragment::{m8n8_element, matrix_byte, stored_byte};
pub(crate) use half::{Bf16, F16, half_add, half_fma, half_mul, half_sub, halves, halves3};
pub(crate) use matrix::{MmaForm, mma, mma_f64};
pub(crate) use narrow::{
    bf16_to_f32, e4m3_to_f16, e5m2_to_f16, f16_to_f32, f32_to_bf16, f32_to_e4m3, f32_to_e5m2,
    f32_to_f16,
};
pub(crate) use single::{
    f32_abs, f32_add, f32_compare, f32_div, f32_fma, f32_max, f32_min, f32_mul, f32_neg, f32_rcp,
    f32_saturate, f32_sqrt, f32_sub,
};
