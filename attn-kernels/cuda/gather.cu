//! Reads tokens of a sequence back as f32, `[tokens][heads][head_dim]`: for inspection, and for
//! whoever wants a contiguous copy. One warp per token and head.
#include "convert.cuh"

/// One side (K or V), laid out as `cuda/launch.rs` does.
struct Gather {
    const u8 *cache;
    /// `[heads]`; unused where scales are dynamic.
    const float *scale;
    /// One per slot and head, or null.
    const float *dynamic;
    const u32 *table;
    float *out;
    u64 block;
    u32 token, head;
    u32 scale_block, scale_token, scale_head;
    u32 block_shift;
    /// Tokens `[first, first + tokens)` of the sequence.
    u32 first, tokens, heads, head_dim;
    u32 element;
};

/// Four codes as numbers, without their scale.
DEVICE void load_codes(const u8 *from, u32 element, float (&x)[4]) {
    if (element <= BF16) {
        uint2 w = *(const uint2 *)from;
        if (element == F16) {
            unpack<false>(w.x, x[0], x[1]);
            unpack<false>(w.y, x[2], x[3]);
        } else {
            unpack<true>(w.x, x[0], x[1]);
            unpack<true>(w.y, x[2], x[3]);
        }
        return;
    }
    u32 codes = *(const u32 *)from, low, high;
    float factor = 1.0f;
    if (element == E4M3) {
        low = decode_pair<E4M3, false>(codes), high = decode_pair<E4M3, true>(codes);
        factor = decode_factor(E4M3);
    } else if (element == E5M2) {
        low = decode_pair<E5M2, false>(codes), high = decode_pair<E5M2, true>(codes);
    } else {
        low = decode_pair<INT8, false>(codes), high = decode_pair<INT8, true>(codes);
    }
    unpack<false>(low, x[0], x[1]);
    unpack<false>(high, x[2], x[3]);
#pragma unroll
    for (u32 i = 0; i < 4; i++) x[i] *= factor;
}

extern "C" __global__ void __launch_bounds__(128) gather_kv(const __grid_constant__ Gather call) {
    u32 lane = threadIdx.x % WARP;
    u32 index = blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP;
    u32 head = index % call.heads, token = index / call.heads;
    if (token >= call.tokens) return;
    u32 position = call.first + token, offset = position & ((1u << call.block_shift) - 1);
    u64 block = call.table[position >> call.block_shift];
    float scale = 1.0f;
    if (call.dynamic != nullptr) {
        scale = call.dynamic[block * call.scale_block + offset * call.scale_token + head * call.scale_head];
    } else if (call.element > BF16) {
        scale = call.scale[head];
    }
    u32 size = call.element <= BF16 ? 2 : 1;
    const u8 *from = call.cache + block * call.block + offset * (u64)call.token + head * (u64)call.head;
    float *to = call.out + ((u64)token * call.heads + head) * call.head_dim;
    for (u32 at = lane * 4; at < call.head_dim; at += WARP * 4) {
        float x[4];
        load_codes(from + at * size, call.element, x);
        *(float4 *)(to + at) = make_float4(x[0] * scale, x[1] * scale, x[2] * scale, x[3] * scale);
    }
}
