//! Numbers as sums of bf16 parts, for tensor cores that take no f32: a float is exactly the sum of
//! three (8 + 8 + 8 bits of significand, and bf16 has the exponents of f32), but where the last part
//! would be subnormal. An f16 is the sum of two, a bf16 is itself.
//!
//! Activations are kept as three planes, `[3][rows][depth]`: each is written once and read by every
//! tile of outputs.
#pragma once
#include "types.cuh"

constexpr u32 PARTS = 3;

/// Two floats, rounded to nearest even, as a pair of bf16: `low` in the lower half.
DEVICE u32 bf16_pair(float low, float high) {
    u32 pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

DEVICE float low_of(u32 pair) { return __uint_as_float(pair << 16); }
DEVICE float high_of(u32 pair) { return __uint_as_float(pair & 0xffff0000u); }

/// Takes the largest bf16 parts off two floats; what is left is exact. An infinity, and what rounds to
/// one, leaves a NaN: a sum that holds it is NaN.
DEVICE u32 take_part(float &low, float &high) {
    u32 pair = bf16_pair(low, high);
    low = __fsub_rn(low, low_of(pair));
    high = __fsub_rn(high, high_of(pair));
    return pair;
}

/// The planes of activations.
struct Planes {
    /// `[3][rows][depth]`.
    u16 *at;
    /// Elements from plane to plane.
    u64 plane;
};

/// Stores four neighbours at `index`, a multiple of four.
DEVICE void store_parts(const Planes &to, u64 index, const float (&values)[4]) {
    float x[4] = {values[0], values[1], values[2], values[3]};
#pragma unroll
    for (u32 part = 0; part < PARTS; part++) {
        u32 a = take_part(x[0], x[1]), b = take_part(x[2], x[3]);
        *(uint2 *)(to.at + part * to.plane + index) = make_uint2(a, b);
    }
}

DEVICE void load4(float (&to)[4], const float *from) {
    float4 x = *(const float4 *)from;
    to[0] = x.x, to[1] = x.y, to[2] = x.z, to[3] = x.w;
}
