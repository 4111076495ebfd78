//! Codes of `f16` and `bf16`: what is cheaper for them than for `f32`. Half of the bits are not there,
//! so that much can be done for sixteen elements at once, in lanes of 16 bits.

use core::arch::x86_64::*;

use super::encode::nan_lanes;
use super::halves_int8;
use super::wide::{load, load_halves, order_dwords};
use crate::code::Code;
use crate::element_type::ElementType;
use crate::format::{Format, format_of, limit};
use crate::source::Source;

/// Whether the source has a way of its own: two bytes.
pub(super) const fn known<S: Source>() -> bool {
    size_of::<S>() == 2
}

/// What the exponent field of a source must be for a normal number of `format`, and its width.
const fn source(element: ElementType, format: &Format) -> (i32, i32) {
    match element {
        ElementType::F16 => (15 + format.min_exponent(), 10),
        _ => (127 + format.min_exponent(), 7),
    }
}

/// The codes of 32 elements, in order, divided by the scale if `SCALED`; `None` if that is left to the
/// ordinary way.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn encode<S: Source, C: Code, const SATURATE: bool, const SCALED: bool>(
    src: &[S; 32],
    divisor: Divisor,
) -> Option<__m256i> {
    match (const { format_of(C::ELEMENT_TYPE) }, SCALED) {
        (None, _) => halves_int8::encode::<S, SCALED>(src, divisor),
        (Some(format), false) => Some(unscaled::<S, C, SATURATE>(src, format)),
        (Some(format), true) => Some(match S::ELEMENT_TYPE {
            ElementType::F16 => scaled_f16::<S, SATURATE>(src, divisor.scale, format),
            _ => scaled_bf16::<S, SATURATE>(src, divisor, format),
        }),
    }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn unscaled<S: Source, C: Code, const SATURATE: bool>(src: &[S; 32], format: &Format) -> __m256i {
    let halves = load_halves(src);
    if let (ElementType::F16, 2) = (S::ELEMENT_TYPE, format.mantissa_bits) {
        return finish::<S, SATURATE>(halves, shortened(halves, format), format);
    }
    finish::<S, SATURATE>(halves, rounded::<S, C>(halves, format), format)
}

/// `f16` to E5M2, which is its upper byte: rounding is an addition, subnormals are not special. The
/// exponents of FNUZ are one more for the same value: below 2^-14 that is a shift, from there on one
/// step of the field.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn shortened(halves: [__m256i; 2], format: &Format) -> __m256i {
    let [low, high] = halves;
    _mm256_packus_epi16(upper_byte(low, format), upper_byte(high, format))
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn upper_byte(x: __m256i, format: &Format) -> __m256i {
    let mut magnitude = magnitudes(x);
    if format.fnuz {
        let step = _mm256_min_epu16(magnitude, _mm256_set1_epi16(0x0400));
        magnitude = _mm256_add_epi16(magnitude, step);
    }
    let up = _mm256_add_epi16(magnitude, _mm256_set1_epi16(0x80));
    _mm256_srli_epi16::<8>(_mm256_add_epi16(up, minus_one_if_even::<8>(magnitude)))
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn magnitudes(x: __m256i) -> __m256i {
    _mm256_and_si256(x, _mm256_set1_epi16(i16::MAX))
}

/// The significand is multiplied by a power of two that leaves as many bits behind the point as the
/// code's last place has: fewer for each binade below the smallest normal one, until nothing is left.
/// A fixed-point multiplication then rounds it.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn rounded<S: Source, C: Code>(halves: [__m256i; 2], format: &Format) -> __m256i {
    let (smallest, width) = const {
        match format_of(C::ELEMENT_TYPE) {
            Some(format) => source(S::ELEMENT_TYPE, format),
            None => (0, 0),
        }
    };
    let mantissa_bits = format.mantissa_bits as i32;
    // A field at which every code is beyond the largest: no byte overflows below.
    let field = _mm256_min_epu8(
        fields::<S>(halves),
        _mm256_set1_epi8((smallest + (128 >> mantissa_bits)) as i8),
    );
    let below = _mm256_subs_epu8(field, _mm256_set1_epi8((smallest - mantissa_bits - 2) as i8));
    let below = _mm256_min_epu8(below, _mm256_set1_epi8((mantissa_bits + 2) as i8));
    let powers = _mm256_set1_epi64x(0x0000_1008_0402_0100);
    let power = _mm256_shuffle_epi8(powers, below);
    let low =
        significands::<S>(halves[0], _mm256_unpacklo_epi8(power, _mm256_setzero_si256()), width);
    let high =
        significands::<S>(halves[1], _mm256_unpackhi_epi8(power, _mm256_setzero_si256()), width);
    let significand = _mm256_packus_epi16(low, high);
    let binade = _mm256_subs_epu8(field, _mm256_set1_epi8(smallest as i8));
    let binade = match mantissa_bits {
        2 => _mm256_slli_epi16::<2>(binade),
        _ => _mm256_slli_epi16::<3>(binade),
    };
    _mm256_add_epi8(significand, binade)
}

/// Rounded to integers, ties to even; `width` is that of the mantissa.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn significands<S: Source>(x: __m256i, powers: __m256i, width: i32) -> __m256i {
    let mantissa = _mm256_and_si256(x, _mm256_set1_epi16((1 << width) - 1));
    let significand = _mm256_or_si256(mantissa, _mm256_set1_epi16(1 << width));
    let fixed = _mm256_mullo_epi16(significand, powers);
    let tie = match S::ELEMENT_TYPE {
        ElementType::F16 => minus_one_if_even::<11>(fixed),
        _ => minus_one_if_even::<8>(fixed),
    };
    // Keeps what is above the mantissa's width and one bit, and adds half of that.
    _mm256_mulhrs_epi16(_mm256_add_epi16(fixed, tie), _mm256_set1_epi16(1 << (14 - width)))
}

/// -1 where bit `BIT` is clear: added to a number that is about to be rounded there, a tie goes up
/// only if that makes it even.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn minus_one_if_even<const BIT: i32>(x: __m256i) -> __m256i {
    let bit = _mm256_and_si256(x, _mm256_set1_epi16(1 << BIT));
    _mm256_cmpeq_epi16(bit, _mm256_setzero_si256())
}

/// The exponent fields, a byte for each, in the order that packing makes.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn fields<S: Source>([low, high]: [__m256i; 2]) -> __m256i {
    match S::ELEMENT_TYPE {
        ElementType::F16 => {
            let bytes = upper_bytes(low, high);
            _mm256_and_si256(_mm256_srli_epi16::<2>(bytes), _mm256_set1_epi8(0x1f))
        }
        _ => upper_bytes(_mm256_slli_epi16::<1>(low), _mm256_slli_epi16::<1>(high)),
    }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn upper_bytes(low: __m256i, high: __m256i) -> __m256i {
    _mm256_packus_epi16(_mm256_srli_epi16::<8>(low), _mm256_srli_epi16::<8>(high))
}

/// From magnitudes in the order that packing makes, which may be beyond the largest, to codes in
/// order: the limit, NaNs, signs.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn finish<S: Source, const SATURATE: bool>(
    halves: [__m256i; 2],
    bytes: __m256i,
    format: &Format,
) -> __m256i {
    let [low, high] = halves;
    let mut codes = limited::<SATURATE>(bytes, format);
    // A NaN has become the limit, which is right already where that overflows to NaN.
    if SATURATE || format.has_infinity() {
        let infinity = _mm256_set1_epi16(infinity::<S>());
        let magnitude = [magnitudes(low), magnitudes(high)];
        let larger = _mm256_max_epi16(magnitude[0], magnitude[1]);
        if _mm256_movemask_epi8(_mm256_cmpgt_epi16(larger, infinity)) != 0 {
            let nan = _mm256_packs_epi16(
                _mm256_cmpgt_epi16(magnitude[0], infinity),
                _mm256_cmpgt_epi16(magnitude[1], infinity),
            );
            codes = _mm256_blendv_epi8(codes, _mm256_set1_epi8(format.nan as i8), nan);
        }
    }
    let codes = with_signs(codes, _mm256_packs_epi16(low, high), format);
    _mm256_permute4x64_epi64::<0b11_01_10_00>(codes)
}

const fn infinity<S: Source>() -> i16 {
    match S::ELEMENT_TYPE {
        ElementType::F16 => 0x7c00,
        _ => 0x7f80,
    }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn limited<const SATURATE: bool>(bytes: __m256i, format: &Format) -> __m256i {
    let limit = if SATURATE { format.max } else { format.overflow };
    _mm256_min_epu8(bytes, _mm256_set1_epi8(limit as i8))
}

/// Puts on the signs of bytes that are in the same order.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn with_signs(codes: __m256i, signs: __m256i, format: &Format) -> __m256i {
    let mut sign = _mm256_and_si256(signs, _mm256_set1_epi8(i8::MIN));
    if format.fnuz {
        sign = _mm256_andnot_si256(_mm256_cmpeq_epi8(codes, _mm256_setzero_si256()), sign);
    }
    _mm256_or_si256(codes, sign)
}

/// A scale for [`encode`].
#[derive(Clone, Copy)]
pub(super) struct Divisor {
    pub(super) scale: __m256,
    /// For `bf16`: the smallest magnitude whose quotient is the limit or more.
    pub(super) largest: __m256i,
}

impl Divisor {
    /// For an ordinary division.
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    pub(super) fn plain(scale: f32) -> Self {
        Self { scale: _mm256_set1_ps(scale), largest: _mm256_setzero_si256() }
    }

    /// `None` for a scale so large or small that the short cuts of [`encode`] do not hold.
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    pub(super) fn new<S: Source, C: Code, const SATURATE: bool>(scale: f32) -> Option<Self> {
        if !const { known::<S>() } {
            return None;
        }
        let largest = match S::ELEMENT_TYPE {
            // No quotient comes near the end of the exponent's range, except infinity; for INT8, near
            // that of an integer of 32 bits.
            ElementType::F16 => {
                let fp8 = const { format_of(C::ELEMENT_TYPE) }.is_some();
                let least = f32::from_bits(if fp8 { 127 - 80 } else { 127 - 14 } << 23);
                (scale >= least).then_some(0)?
            }
            // Of at most 29 bits, so exact.
            _ => bf16_from(f64::from(scale) * f64::from(limit(C::ELEMENT_TYPE, SATURATE)))?,
        };
        Some(Self { largest: _mm256_set1_epi16(largest as i16), ..Self::plain(scale) })
    }
}

/// The bits of the smallest `bf16` that is not below `x`, if it is a normal number.
fn bf16_from(x: f64) -> Option<u16> {
    let down = (x as f32).to_bits() >> 16;
    let up = down + u32::from(f64::from(f32::from_bits(down << 16)) < x);
    (0x0080..0x7f80).contains(&up).then_some(up as u16)
}

/// With no limit before rounding: no quotient but infinity and NaN is too large for [`round`], and
/// packing to bytes saturates. All beyond a byte is looked at again for NaNs.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn scaled_f16<S: Source, const SATURATE: bool>(
    src: &[S; 32],
    scale: __m256,
    format: &Format,
) -> __m256i {
    let (vectors, _) = src.as_chunks::<8>();
    let [a, b, c, d] = [
        quotient(load(&vectors[0]), scale),
        quotient(load(&vectors[1]), scale),
        quotient(load(&vectors[2]), scale),
        quotient(load(&vectors[3]), scale),
    ];
    // The upper bits are of no use; a NaN has none but these in the lower half.
    let kept = _mm256_set1_epi32(0x1fff);
    let low = _mm256_packus_epi32(
        _mm256_and_si256(round(a, format), kept),
        _mm256_and_si256(round(b, format), kept),
    );
    let high = _mm256_packus_epi32(
        _mm256_and_si256(round(c, format), kept),
        _mm256_and_si256(round(d, format), kept),
    );
    let bytes = _mm256_packus_epi16(low, high);
    let mut codes = limited::<SATURATE>(bytes, format);
    let beyond = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(-1));
    if _mm256_movemask_epi8(beyond) != 0 {
        let nan = _mm256_packs_epi16(
            _mm256_packs_epi32(nan_lanes(a), nan_lanes(b)),
            _mm256_packs_epi32(nan_lanes(c), nan_lanes(d)),
        );
        codes = _mm256_blendv_epi8(codes, _mm256_set1_epi8(format.nan as i8), nan);
    }
    let [low, high] = load_halves(src);
    let signs = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi16(low, high));
    with_signs(order_dwords(codes), signs, format)
}

/// The magnitude of the quotient.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn quotient(x: __m256, scale: __m256) -> __m256 {
    _mm256_andnot_ps(_mm256_set1_ps(-0.0), _mm256_div_ps(x, scale))
}

/// Magnitudes are limited, and looked through for NaNs, before they are divided: sixteen at once.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn scaled_bf16<S: Source, const SATURATE: bool>(
    src: &[S; 32],
    divisor: Divisor,
    format: &Format,
) -> __m256i {
    let [low, high] = load_halves(src);
    let bytes = _mm256_packus_epi16(pairs(low, divisor, format), pairs(high, divisor, format));
    finish::<S, SATURATE>([low, high], bytes, format)
}

/// Each 32-bit lane has two elements: the even one below, the odd one above.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn pairs(x: __m256i, divisor: Divisor, format: &Format) -> __m256i {
    let magnitude = _mm256_min_epi16(magnitudes(x), divisor.largest);
    let even = _mm256_castsi256_ps(_mm256_slli_epi32::<16>(magnitude));
    let odd = _mm256_castsi256_ps(_mm256_and_si256(magnitude, _mm256_set1_epi32(-0x1_0000)));
    let even = round(_mm256_div_ps(even, divisor.scale), format);
    let odd = round(_mm256_div_ps(odd, divisor.scale), format);
    _mm256_blend_epi16::<0b1010_1010>(even, _mm256_slli_epi32::<16>(odd))
}

/// Rounds a magnitude: the low 16 bits of each lane are the code. As `round` in `encode`, but the
/// field of the smallest binade is taken off within the addition that rounds.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn round(magnitude: __m256, format: &Format) -> __m256i {
    let mantissa_bits = format.mantissa_bits as i32;
    let smallest = 127 + format.min_exponent();
    let binade = _mm256_max_epi32(
        _mm256_and_si256(_mm256_castps_si256(magnitude), _mm256_set1_epi32(0x7f80_0000)),
        _mm256_set1_epi32(smallest << 23),
    );
    // An even number below the point does not change which way a tie goes.
    let offset = 0x1_0000 - (smallest << mantissa_bits);
    let magic = _mm256_add_epi32(binade, _mm256_set1_epi32(((23 - mantissa_bits) << 23) + offset));
    let sum = _mm256_add_ps(magnitude, _mm256_castsi256_ps(magic));
    let field = match mantissa_bits {
        2 => _mm256_srli_epi32::<21>(binade),
        _ => _mm256_srli_epi32::<20>(binade),
    };
    _mm256_add_epi32(_mm256_castps_si256(sum), field)
}
