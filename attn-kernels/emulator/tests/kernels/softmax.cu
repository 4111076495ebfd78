// Softmax of rows: one warp per row with an online maximum, and one CTA per row in two passes.
#include <cuda_fp16.h>

#define INFINITY __int_as_float(0x7f800000)

extern "C" __global__ void __launch_bounds__(128) softmax_warp(float* __restrict__ out, const float* __restrict__ in, int rows, int columns)
{
    const int row = blockIdx.x * 4 + (threadIdx.x >> 5), lane = threadIdx.x & 31;
    if (row >= rows)
        return;
    const float* x = in + (size_t)row * columns;
    float m = -INFINITY, d = 0.f;
    for (int i = lane; i < columns; i += 32) {
        const float v = x[i], n = fmaxf(m, v);
        d = d * __expf(m - n) + __expf(v - n);
        m = n;
    }
#pragma unroll
    for (int o = 16; o; o >>= 1) {
        const float m2 = __shfl_xor_sync(0xffffffffu, m, o), d2 = __shfl_xor_sync(0xffffffffu, d, o);
        const float n = fmaxf(m, m2);
        // A lane without elements has m = -inf and d = 0.
        d = (m == -INFINITY ? 0.f : d * __expf(m - n)) + (m2 == -INFINITY ? 0.f : d2 * __expf(m2 - n));
        m = n;
    }
    for (int i = lane; i < columns; i += 32)
        out[(size_t)row * columns + i] = __expf(x[i] - m) / d;
}

extern "C" __global__ void __launch_bounds__(256) softmax_block_f16(__half* __restrict__ out, const __half* __restrict__ in, int columns)
{
    __shared__ float cells[8];
    __shared__ float shared_max, shared_sum;
    const __half2* x = (const __half2*)(in + (size_t)blockIdx.x * columns);
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, pairs = columns / 2;
    float m = -INFINITY;
    for (int i = threadIdx.x; i < pairs; i += blockDim.x) {
        const float2 v = __half22float2(x[i]);
        m = fmaxf(m, fmaxf(v.x, v.y));
    }
    for (int o = 16; o; o >>= 1)
        m = fmaxf(m, __shfl_xor_sync(0xffffffffu, m, o));
    if (lane == 0)
        cells[warp] = m;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int i = 1; i < 8; i++)
            m = fmaxf(m, cells[i]);
        shared_max = m;
    }
    __syncthreads();
    m = shared_max;
    float d = 0.f;
    for (int i = threadIdx.x; i < pairs; i += blockDim.x) {
        const float2 v = __half22float2(x[i]);
        d += exp2f((v.x - m) * 1.44269504f) + exp2f((v.y - m) * 1.44269504f);
    }
    for (int o = 16; o; o >>= 1)
        d += __shfl_xor_sync(0xffffffffu, d, o);
    if (lane == 0)
        cells[warp] = d;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int i = 1; i < 8; i++)
            d += cells[i];
        shared_sum = d;
    }
    __syncthreads();
    const float r = 1.f / shared_sum;
    __half2* y = (__half2*)(out + (size_t)blockIdx.x * columns);
    for (int i = threadIdx.x; i < pairs; i += blockDim.x) {
        const float2 v = __half22float2(x[i]);
        y[i] = __floats2half2_rn(expf(v.x - m) * r, expf(v.y - m) * r);
    }
}
