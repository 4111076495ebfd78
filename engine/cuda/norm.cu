//! RMSNorm of rows, as the planes that a linear layer reads: `x / sqrt(mean(x²) + eps) × weight`.
//! One CTA per row; a row's squares are added in one order, whatever stands beside it.
#include "parts.cuh"

/// Laid out as `src/cuda/ops.rs` does.
struct Norm {
    /// `[rows][stride]`, zero from `width` on.
    const float *x;
    /// `[stride]`, zero from `width` on.
    const float *weight;
    /// Which rows of `x`, or null for all in order.
    const u32 *rows;
    /// `[3][CTAs][stride]`.
    Planes to;
    u32 width;
    /// A multiple of 4.
    u32 stride;
    float eps;
};

extern "C" __global__ void __launch_bounds__(128) rms_norm(const __grid_constant__ Norm call) {
    __shared__ float sums[4];
    u32 row = call.rows == nullptr ? blockIdx.x : call.rows[blockIdx.x];
    const float *from = call.x + (u64)row * call.stride;
    float sum = 0.0f, x[4], w[4];
    for (u32 at = threadIdx.x * 4; at < call.stride; at += 128 * 4) {
        load4(x, from + at);
#pragma unroll
        for (u32 i = 0; i < 4; i++) sum = fmaf(x[i], x[i], sum);
    }
#pragma unroll
    for (u32 apart = 16; apart > 0; apart /= 2) sum += __shfl_xor_sync(~0u, sum, apart);
    if (threadIdx.x % WARP == 0) sums[threadIdx.x / WARP] = sum;
    __syncthreads();
    float mean = __fdiv_rn((sums[0] + sums[1]) + (sums[2] + sums[3]), (float)call.width);
    float scale = __fdiv_rn(1.0f, __fsqrt_rn(mean + call.eps));
    u64 to = (u64)blockIdx.x * call.stride;
    for (u32 at = threadIdx.x * 4; at < call.stride; at += 128 * 4) {
        load4(x, from + at);
        load4(w, call.weight + at);
#pragma unroll
        for (u32 i = 0; i < 4; i++) x[i] = x[i] * scale * w[i];
        store_parts(call.to, to + at, x);
    }
}
