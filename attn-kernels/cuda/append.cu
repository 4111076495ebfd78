//! Stores new K and V: turn K by its position (optional), divide by the scale, round, scatter to
//! slots; note the largest magnitudes (optional). One warp per token, head and side.
//!
//! Bytes are the CPU's, bit for bit. A slot that is given twice is the host's to resolve (the last
//! token wins, the others get −1): warps run in any order.
#include "convert.cuh"

/// One side (K or V), laid out as `src/cuda/backend` does.
struct AppendSide {
    /// `[tokens][heads][head_dim]`.
    const float *from;
    u8 *cache;
    /// `[heads]`; unused where scales are dynamic.
    const float *scale;
    /// One per slot and head, or null.
    float *dynamic;
    /// `[heads]`: bits of the largest magnitude so far (as integers they order like numbers, NaN
    /// above all), or null.
    u32 *absmax;
    /// Bytes from block to block, token to token, head to head.
    u64 block;
    u32 token, head;
    u32 element;
    u32 padding;
};

struct Append {
    AppendSide sides[2];
    const s64 *slots;
    /// `[tokens][head_dim / 2]`, or null: K is stored as it is.
    const float *cos;
    const float *sin;
    /// Of dynamic scales, in floats.
    u32 scale_block, scale_token, scale_head;
    u32 block_shift;
    u32 tokens, heads, head_dim;
};

/// Four elements of the lower and of the upper half of a head.
struct Pair {
    float low[4], high[4];
};

DEVICE void load4(float (&to)[4], const float *from) {
    float4 x = *(const float4 *)from;
    to[0] = x.x, to[1] = x.y, to[2] = x.z, to[3] = x.w;
}

DEVICE Pair load(const float *row, u32 half, u32 at, const float *cos, const float *sin) {
    Pair p;
    load4(p.low, row + at);
    load4(p.high, row + half + at);
    if (cos == nullptr) return p;
    float c[4], s[4];
    load4(c, cos + at);
    load4(s, sin + at);
#pragma unroll
    for (u32 i = 0; i < 4; i++) {
        // Each product is rounded, as on the CPU.
        float a = p.low[i], b = p.high[i];
        p.low[i] = __fsub_rn(__fmul_rn(a, c[i]), __fmul_rn(b, s[i]));
        p.high[i] = __fadd_rn(__fmul_rn(b, c[i]), __fmul_rn(a, s[i]));
    }
    return p;
}

/// The largest magnitudes so far: of everything, and of what is finite.
struct Largest {
    u32 any, finite;

    DEVICE void note(const float (&x)[4]) {
#pragma unroll
        for (u32 i = 0; i < 4; i++) {
            u32 magnitude = __float_as_uint(x[i]) & 0x7fffffffu;
            any = max(any, magnitude);
            finite = max(finite, magnitude < 0x7f800000u ? magnitude : 0u);
        }
    }
};

/// Four numbers to four codes at `to`.
DEVICE void store4(u8 *to, u32 element, const float (&x)[4], float scale) {
    if (element <= BF16) {
        u32 half[4];
#pragma unroll
        for (u32 i = 0; i < 4; i++) half[i] = element == F16 ? encode_half<false>(x[i]) : encode_half<true>(x[i]);
        *(uint2 *)to = make_uint2(half[0] | half[1] << 16, half[2] | half[3] << 16);
        return;
    }
    float y[4];
#pragma unroll
    for (u32 i = 0; i < 4; i++) y[i] = divide(x[i], scale);
    u32 codes;
    if (element == E4M3) {
        codes = encode_pair<E4M3>(y[0], y[1]) | encode_pair<E4M3>(y[2], y[3]) << 16;
    } else if (element == E5M2) {
        codes = encode_pair<E5M2>(y[0], y[1]) | encode_pair<E5M2>(y[2], y[3]) << 16;
    } else {
        codes = encode_pair<INT8>(y[0], y[1]) | encode_pair<INT8>(y[2], y[3]) << 16;
    }
    *(u32 *)to = codes;
}

extern "C" __global__ void __launch_bounds__(128) append_kv(const __grid_constant__ Append call) {
    u32 lane = threadIdx.x % WARP;
    u32 index = blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP;
    u32 head = index % call.heads, token = index / call.heads;
    if (token >= call.tokens) return;
    bool values = blockIdx.y == 1;
    const AppendSide &side = values ? call.sides[1] : call.sides[0];
    s64 slot = call.slots[token];
    if (slot < 0) return;

    u32 half = call.head_dim / 2;
    const float *row = side.from + ((u64)token * call.heads + head) * call.head_dim;
    const float *cos = values || call.cos == nullptr ? nullptr : call.cos + (u64)token * half;
    const float *sin = cos == nullptr ? nullptr : call.sin + (u64)token * half;
    u64 block = (u64)slot >> call.block_shift;
    u32 offset = (u32)slot & ((1u << call.block_shift) - 1);

    float scale = 1.0f;
    if (side.dynamic != nullptr || side.absmax != nullptr) {
        Largest largest = {0, 0};
        for (u32 at = lane * 4; at < half; at += WARP * 4) {
            Pair p = load(row, half, at, cos, sin);
            largest.note(p.low);
            largest.note(p.high);
        }
        u32 any = __reduce_max_sync(~0u, largest.any);
        u32 finite = __reduce_max_sync(~0u, largest.finite);
        if (side.absmax != nullptr && lane == 0) atomicMax(side.absmax + head, any);
        if (side.dynamic != nullptr) {
            // The whole range for the finite elements; infinities saturate, NaN stays NaN.
            float limit = side.element == E4M3 ? 448.0f : side.element == E5M2 ? 57344.0f : 127.0f;
            scale = fmaxf(divide(__uint_as_float(finite), limit), 1e-6f);
            u64 place = block * call.scale_block + offset * call.scale_token + head * call.scale_head;
            if (lane == 0) side.dynamic[place] = scale;
        }
    }
    if (side.dynamic == nullptr && side.element > BF16) scale = side.scale[head];

    u32 size = side.element <= BF16 ? 2 : 1;
    u8 *to = side.cache + block * side.block + offset * (u64)side.token + head * (u64)side.head;
    for (u32 at = lane * 4; at < half; at += WARP * 4) {
        Pair p = load(row, half, at, cos, sin);
        store4(to + at * size, side.element, p.low, scale);
        store4(to + (half + at) * size, side.element, p.high, scale);
    }
}
