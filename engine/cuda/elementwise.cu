//! What is done to each activation by itself: `silu(gate) × up`, and the parts of what another
//! kernel left as floats. Four neighbours per thread.
#include "parts.cuh"

/// Laid out as `src/cuda/ops.rs` does.
struct Elementwise {
    /// Read by both kernels.
    const float *x;
    /// Read by `silu_mul`.
    const float *up;
    Planes to;
    /// Of floats, a multiple of 4.
    u64 count;
};

/// Beyond this, `e^x` is no finite float; below the other, nothing beside 1.
constexpr float LARGEST_EXPONENT = 88.5f;
constexpr float LEAST_EXPONENT = -104.0f;

/// `e^x` for `x` between the two, to about an ulp: the product with log2(e) is carried in two floats.
DEVICE float exponential(float x) {
    float high = __fmul_rn(x, LOG2E);
    // LOG2E is this much short of log2(e).
    float low = fmaf(x, 1.92596299e-8f, fmaf(x, LOG2E, -high));
    float y = ex2(high);
    return fmaf(y, __fmul_rn(low, LN2), y);
}

DEVICE float silu(float x) {
    if (x < -LARGEST_EXPONENT) return -0.0f;
    return __fdiv_rn(x, 1.0f + exponential(fmaxf(-x, LEAST_EXPONENT)));
}

DEVICE u64 first() { return ((u64)blockIdx.x * 128 + threadIdx.x) * 4; }

extern "C" __global__ void __launch_bounds__(128) silu_mul(const __grid_constant__ Elementwise call) {
    u64 at = first();
    if (at >= call.count) return;
    float gate[4], up[4];
    load4(gate, call.x + at);
    load4(up, call.up + at);
#pragma unroll
    for (u32 i = 0; i < 4; i++) gate[i] = silu(gate[i]) * up[i];
    store_parts(call.to, at, gate);
}

extern "C" __global__ void __launch_bounds__(128) split(const __grid_constant__ Elementwise call) {
    u64 at = first();
    if (at >= call.count) return;
    float x[4];
    load4(x, call.x + at);
    store_parts(call.to, at, x);
}
