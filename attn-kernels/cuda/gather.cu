//! Reads tokens of a sequence back as f32, `[tokens][heads][head_dim]`: for inspection, and for
//! whoever wants a contiguous copy. One warp per token and head.
#include "convert.cuh"

/// One side (K or V), laid out as `src/cuda/backend` does.
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
DEVICE float4 load_codes(const u8 *from, u32 element) {
    float4 x;
    if (element <= BF16) {
        uint2 w = *(const uint2 *)from;
        if (element == F16) {
            unpack<false>(w.x, x.x, x.y);
            unpack<false>(w.y, x.z, x.w);
        } else {
            unpack<true>(w.x, x.x, x.y);
            unpack<true>(w.y, x.z, x.w);
        }
        return x;
    }
    u32 codes = *(const u32 *)from;
    if (element == E4M3) {
        decode4<E4M3>(codes, x);
    } else if (element == E5M2) {
        decode4<E5M2>(codes, x);
    } else {
        decode4<INT8>(codes, x);
    }
    return x;
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
        float4 x = load_codes(from + at * size, call.element);
        *(float4 *)(to + at) = make_float4(x.x * scale, x.y * scale, x.z * scale, x.w * scale);
    }
}
