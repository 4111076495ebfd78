//! Stored codes to and from numbers: FP8 and INT8 to pairs of f16, f32 to every stored type.
//!
//! Decoding is exact. From sm_89 the hardware converts E4M3; before, its bits are moved into place,
//! which leaves out a factor of 2^8 (`decode_factor`) that goes into a scale. NaN codes become NaN
//! in both. Encoding saturates, rounds once to nearest even, and keeps a NaN's sign, bit for bit
//! as fp8-format and `half` do.
#pragma once
#include "types.cuh"

#if __CUDA_ARCH__ >= 890
constexpr bool HARDWARE_FP8 = true;
#else
constexpr bool HARDWARE_FP8 = false;
#endif

/// What `decode_pair` leaves out: value = decoded × factor.
DEVICE constexpr float decode_factor(u32 element) {
    return element == E4M3 && !HARDWARE_FP8 ? 256.0f : 1.0f;
}

/// Codes 0, 1 (`HIGH` false) or 2, 3 of a word of one-byte codes, as a pair of f16.
template <u32 ELEMENT, bool HIGH> DEVICE u32 decode_pair(u32 codes) {
    u32 pair;
    if constexpr (ELEMENT == E5M2) {
        // An E5M2 code is the upper byte of its f16.
        pair = HIGH ? bytes<0x3424>(codes, 0) : bytes<0x1404>(codes, 0);
    } else if constexpr (ELEMENT == INT8) {
        // 0x6400 + u is the f16 1024 + u; u = code + 128.
        u32 biased = codes ^ 0x80808080u;
        u32 numbers = HIGH ? bytes<0x4342>(biased, 0x64u) : bytes<0x4140>(biased, 0x64u);
        asm("sub.rn.f16x2 %0, %1, %2;" : "=r"(pair) : "r"(numbers), "r"(0x64806480u));
    } else {
        static_assert(ELEMENT == E4M3, "a one-byte type");
#if __CUDA_ARCH__ >= 890
        if constexpr (HIGH) {
            asm("{.reg .b16 l, h; mov.b32 {l, h}, %1; cvt.rn.f16x2.e4m3x2 %0, h;}"
                : "=r"(pair) : "r"(codes));
        } else {
            asm("{.reg .b16 l, h; mov.b32 {l, h}, %1; cvt.rn.f16x2.e4m3x2 %0, l;}"
                : "=r"(pair) : "r"(codes));
        }
#else
        u32 spread = HIGH ? bytes<0x3424>(codes, 0) : bytes<0x1404>(codes, 0);
        u32 magnitude = spread & 0x7f007f00u;
        // The carry of NaN's magnitude, 0x7f, reaches bit 15; then all exponent bits are set.
        u32 nan = (magnitude + 0x01000100u) & 0x80008000u;
        pair = (spread & 0x80008000u) | (magnitude >> 1) | (nan - (nan >> 6));
#endif
    }
    return pair;
}

template <u32 ELEMENT> constexpr bool IS_FP8 = ELEMENT == E4M3 || ELEMENT == E5M2;

/// Two f32 as a pair of f16 or bf16, `low` in the lower half.
template <bool BF> DEVICE u32 pack(float low, float high) {
    u32 pair;
    if constexpr (BF) {
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    } else {
        asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    }
    return pair;
}

/// The halves of a pair as f32.
template <bool BF> DEVICE void unpack(u32 pair, float &low, float &high) {
    if constexpr (BF) {
        low = __uint_as_float(pair << 16);
        high = __uint_as_float(pair & 0xffff0000u);
    } else {
        asm("{.reg .b16 l, h; mov.b32 {l, h}, %2; cvt.f32.f16 %0, l; cvt.f32.f16 %1, h;}"
            : "=f"(low), "=f"(high) : "r"(pair));
    }
}

/// Four one-byte codes as numbers, without their scale.
template <u32 ELEMENT> DEVICE void decode4(u32 codes, float4 &x) {
    unpack<false>(decode_pair<ELEMENT, false>(codes), x.x, x.y);
    unpack<false>(decode_pair<ELEMENT, true>(codes), x.z, x.w);
    constexpr float factor = decode_factor(ELEMENT);
    if constexpr (factor != 1.0f) x = make_float4(x.x * factor, x.y * factor, x.z * factor, x.w * factor);
}

/// The magnitude of an FP8 code from that of a number, by integer instructions: `MANTISSA` bits,
/// the exponent's bias, and the largest magnitude.
template <u32 MANTISSA, u32 BIAS> DEVICE u32 round_fp8(float magnitude) {
    constexpr u32 DROP = 23 - MANTISSA;
    constexpr float SMALLEST_NORMAL = 1.0f / (1u << (BIAS - 1));
    // Adding this makes the last place of the sum the last place of a subnormal code.
    constexpr float ALIGN = (float)(1u << (24 - BIAS - MANTISSA));
    if (magnitude < SMALLEST_NORMAL) {
        return __float_as_uint(__fadd_rn(magnitude, ALIGN)) - __float_as_uint(ALIGN);
    }
    u32 bits = __float_as_uint(magnitude);
    bits += (1u << (DROP - 1)) - 1 + ((bits >> DROP) & 1);
    return (bits >> DROP) - ((127 - BIAS) << MANTISSA);
}

/// Two numbers as codes, `low` in the lower byte.
template <u32 ELEMENT> DEVICE u32 encode_pair(float low, float high) {
    if constexpr (ELEMENT == INT8) {
        // fp8-format: NaN becomes 0, ties to even, never -128.
        int a = __float2int_rn(fminf(fmaxf(low, -127.0f), 127.0f));
        int b = __float2int_rn(fminf(fmaxf(high, -127.0f), 127.0f));
        a = is_nan(low) ? 0 : a;
        b = is_nan(high) ? 0 : b;
        return ((u32)a & 0xffu) | ((u32)b & 0xffu) << 8;
    } else {
        constexpr u32 NAN_CODE = ELEMENT == E4M3 ? 0x7fu : 0x7eu;
        u32 signs = __float_as_uint(low) >> 31 << 7 | __float_as_uint(high) >> 31 << 15;
        u32 codes;
#if __CUDA_ARCH__ >= 890
        u16 pair;
        if constexpr (ELEMENT == E4M3) {
            asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(high), "f"(low));
        } else {
            asm("cvt.rn.satfinite.e5m2x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(high), "f"(low));
        }
        codes = pair;
#else
        constexpr float MAX = ELEMENT == E4M3 ? 448.0f : 57344.0f;
        constexpr u32 MANTISSA = ELEMENT == E4M3 ? 3 : 2, BIAS = ELEMENT == E4M3 ? 7 : 15;
        codes = round_fp8<MANTISSA, BIAS>(fminf(fabsf(low), MAX)) |
                round_fp8<MANTISSA, BIAS>(fminf(fabsf(high), MAX)) << 8 | signs;
#endif
        // The hardware's NaN has no sign.
        if (is_nan(low)) codes = (codes & 0xff00u) | NAN_CODE | (signs & 0x80u);
        if (is_nan(high)) codes = (codes & 0x00ffu) | NAN_CODE << 8 | (signs & 0x8000u);
        return codes;
    }
}

/// Four numbers as one-byte codes of what they are over a scale.
template <u32 ELEMENT> DEVICE u32 encode4(float4 x, float scale) {
    return encode_pair<ELEMENT>(divide(x.x, scale), divide(x.y, scale)) |
           encode_pair<ELEMENT>(divide(x.z, scale), divide(x.w, scale)) << 16;
}

/// A number as f16 or bf16 bits; a NaN keeps its sign and the upper bits of its payload, as in the
/// crate `half`.
template <bool BF> DEVICE u32 encode_half(float x) {
    u32 bits = __float_as_uint(x);
    if (is_nan(x)) {
        return BF ? (bits >> 16) | 0x0040u : (bits >> 16 & 0x8000u) | 0x7e00u | (bits >> 13 & 0x3ffu);
    }
    return pack<BF>(x, 0.0f) & 0xffffu;
}
