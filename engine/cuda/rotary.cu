//! Turns the heads of Q and K by their positions, in place, after a norm of each head where the
//! architecture has one. Pair `i` of a head is elements `i` and `i + head_dim / 2`. One warp per row
//! and head.
#include "types.cuh"

/// Laid out as `src/cuda/ops.rs` does.
struct Rotary {
    /// `[rows][heads][stride]`.
    float *q;
    /// `[rows][kv_heads][stride]`.
    float *k;
    /// `[rows][head_dim / 2]`.
    const float *cos;
    const float *sin;
    /// `[head_dim]`, or null.
    const float *q_norm;
    const float *k_norm;
    u32 rows, heads, kv_heads;
    /// At most 256.
    u32 head_dim;
    /// From head to head.
    u32 stride;
    float eps;
};

/// Pairs of a lane, at most.
constexpr u32 PAIRS = 128 / WARP;

extern "C" __global__ void __launch_bounds__(128) rotate(const __grid_constant__ Rotary call) {
    u32 lane = threadIdx.x % WARP, all = call.heads + call.kv_heads;
    u32 index = blockIdx.x * 4 + threadIdx.x / WARP;
    u32 row = index / all, head = index % all, half = call.head_dim / 2;
    if (row >= call.rows) return;
    bool key = head >= call.heads;
    float *at = key ? call.k + ((u64)row * call.kv_heads + (head - call.heads)) * call.stride
                    : call.q + ((u64)row * call.heads + head) * call.stride;
    const float *norm = key ? call.k_norm : call.q_norm;

    float low[PAIRS], high[PAIRS], sum = 0.0f;
#pragma unroll
    for (u32 p = 0; p < PAIRS; p++) {
        u32 i = p * WARP + lane;
        bool inside = i < half;
        low[p] = inside ? at[i] : 0.0f;
        high[p] = inside ? at[half + i] : 0.0f;
        sum = fmaf(low[p], low[p], fmaf(high[p], high[p], sum));
    }
    if (norm != nullptr) {
#pragma unroll
        for (u32 apart = 16; apart > 0; apart /= 2) sum += __shfl_xor_sync(~0u, sum, apart);
        float mean = __fdiv_rn(sum, (float)call.head_dim);
        float scale = __fdiv_rn(1.0f, __fsqrt_rn(mean + call.eps));
#pragma unroll
        for (u32 p = 0; p < PAIRS; p++) {
            u32 i = p * WARP + lane;
            if (i >= half) continue;
            low[p] = low[p] * scale * norm[i];
            high[p] = high[p] * scale * norm[half + i];
        }
    }
    const float *cos = call.cos + (u64)row * half, *sin = call.sin + (u64)row * half;
#pragma unroll
    for (u32 p = 0; p < PAIRS; p++) {
        u32 i = p * WARP + lane;
        if (i >= half) continue;
        // Each product is rounded, as on the CPU.
        at[i] = __fsub_rn(__fmul_rn(low[p], cos[i]), __fmul_rn(high[p], sin[i]));
        at[half + i] = __fadd_rn(__fmul_rn(high[p], cos[i]), __fmul_rn(low[p], sin[i]));
    }
}
