//! Codes to `f16` and `bf16` by their mantissas. A product of a code and a scale has the mantissa that
//! the same code has in another binade, so sixteen products serve for all: those of the subnormal codes
//! and of the smallest normal ones. The others are these with the exponent field raised.
//!
//! That holds while the products are normal numbers of the destination: [`Table::new`] sees to it.

use core::arch::x86_64::*;

use crate::code::Code;
use crate::element_type::ElementType;
use crate::format::{Format, format_of};
use crate::source::Source;

/// The products of the smallest magnitudes with a scale, byte by byte, for both halves of a register.
#[derive(Clone, Copy)]
pub(super) struct Table {
    low: __m256i,
    high: __m256i,
}

/// A table costs as much as some sixty elements; this many repay it.
pub(super) const WORTH_IT: usize = 512;

impl Table {
    /// For where there is none.
    // SAFETY: the registers are plain bits, of which zero is a value.
    pub(super) const NONE: Self = unsafe { core::mem::zeroed() };

    /// From the products of the 16 smallest magnitudes with `scale`. `None` if another product would
    /// be subnormal or infinite.
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    pub(super) fn new<C: Code, D: Source>(smallest: &[D; 16], scale: f32) -> Option<Self> {
        let format = const { format_of(C::ELEMENT_TYPE) }?;
        if size_of::<D>() != 2 {
            return None;
        }
        let (width, fields) = const { layout::<D>() };
        let field = |magnitude: usize| i32::from(bits(smallest[magnitude]) >> width);
        let first = field(1 << format.mantissa_bits);
        let last = field((2 << format.mantissa_bits) - 1);
        // The smallest normal number may have been rounded up from a subnormal one.
        let least = if scale == 1.0 { 1 } else { 2 };
        let raised = i32::from(format.max >> format.mantissa_bits) - 1;
        if first < least || last + raised >= fields {
            return None;
        }
        // SAFETY: the array has 32 bytes, elements being of two.
        let [a, b] = unsafe {
            let source = smallest.as_ptr().cast::<__m128i>();
            [_mm_loadu_si128(source), _mm_loadu_si128(source.add(1))]
        };
        let byte = _mm_set1_epi16(0xff);
        let low = _mm_packus_epi16(_mm_and_si128(a, byte), _mm_and_si128(b, byte));
        let high = _mm_packus_epi16(_mm_srli_epi16::<8>(a), _mm_srli_epi16::<8>(b));
        Some(Self { low: _mm256_set_m128i(low, low), high: _mm256_set_m128i(high, high) })
    }
}

/// The width of the mantissa, and the exponent field of infinity.
const fn layout<D: Source>() -> (u32, i32) {
    match D::ELEMENT_TYPE {
        ElementType::F16 => (10, 0x1f),
        _ => (7, 0xff),
    }
}

/// The bits of an `f16` or a `bf16`.
fn bits<D: Source>(x: D) -> u16 {
    assert!(size_of::<D>() == 2);
    // SAFETY: the types of two bytes are `f16` and `bf16`, transparent over `u16`.
    unsafe { core::mem::transmute_copy(&x) }
}

/// The products of 32 codes, in order; `None` if one of the codes is no number.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn decode<C: Code, D: Source>(codes: __m256i, table: Table) -> Option<[__m256i; 2]> {
    let format = const { format_of(C::ELEMENT_TYPE) }?;
    let magnitude = _mm256_and_si256(codes, _mm256_set1_epi8(0x7f));
    if _mm256_movemask_epi8(no_number(codes, magnitude, format)) != 0 {
        return None;
    }
    // So that interleaving, which goes by halves of the register, leaves the order as it is.
    let codes = _mm256_permute4x64_epi64::<0b11_01_10_00>(codes);
    let magnitude = _mm256_and_si256(codes, _mm256_set1_epi8(0x7f));
    let mantissa_bits = format.mantissa_bits;
    // The codes of the smallest normal binade for all binades above it; lower ones as they are.
    let binade = _mm256_set1_epi8(1 << mantissa_bits);
    let mantissa = _mm256_and_si256(magnitude, _mm256_set1_epi8((1 << mantissa_bits) - 1));
    let index = _mm256_min_epu8(magnitude, _mm256_or_si256(mantissa, binade));
    let low = _mm256_shuffle_epi8(table.low, index);
    let high = _mm256_shuffle_epi8(table.high, index);
    let sign = _mm256_and_si256(codes, _mm256_set1_epi8(i8::MIN));
    let high = _mm256_or_si256(high, sign);
    // How many binades above that: in the upper bits of a byte, which come to stand where the field is.
    let above = _mm256_andnot_si256(
        _mm256_set1_epi8((1 << mantissa_bits) - 1),
        _mm256_subs_epu8(magnitude, binade),
    );
    let zero = _mm256_setzero_si256();
    let first = raised::<D>(
        _mm256_unpacklo_epi8(low, high),
        _mm256_unpacklo_epi8(above, zero),
        mantissa_bits,
    );
    let second = raised::<D>(
        _mm256_unpackhi_epi8(low, high),
        _mm256_unpackhi_epi8(above, zero),
        mantissa_bits,
    );
    Some([first, second])
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn raised<D: Source>(x: __m256i, above: __m256i, mantissa_bits: u32) -> __m256i {
    let raise = match (D::ELEMENT_TYPE, mantissa_bits) {
        (ElementType::F16, 2) => _mm256_slli_epi16::<8>(above),
        (ElementType::F16, _) => _mm256_slli_epi16::<7>(above),
        (_, 2) => _mm256_slli_epi16::<5>(above),
        _ => _mm256_slli_epi16::<4>(above),
    };
    _mm256_add_epi16(x, raise)
}

/// Negative where a code is NaN or infinite.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn no_number(codes: __m256i, magnitude: __m256i, format: &Format) -> __m256i {
    if format.fnuz {
        _mm256_cmpeq_epi8(codes, _mm256_set1_epi8(i8::MIN))
    } else {
        _mm256_cmpgt_epi8(magnitude, _mm256_set1_epi8(format.max as i8))
    }
}
