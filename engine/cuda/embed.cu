//! Rows of the embedding as floats. One CTA per row.
#include "parts.cuh"

/// Laid out as `src/cuda/ops.rs` does.
struct Embed {
    /// `[vocabulary][width]`.
    const u8 *table;
    /// `[rows]`.
    const u32 *tokens;
    /// `[rows][width]`.
    float *x;
    /// Of the table: F16, BF16 or F32.
    u32 element;
    /// A multiple of 4.
    u32 width;
};

DEVICE float half_to_float(u32 bits) {
    float x;
    asm("{.reg .b16 h; cvt.u16.u32 h, %1; cvt.f32.f16 %0, h;}" : "=f"(x) : "r"(bits));
    return x;
}

extern "C" __global__ void __launch_bounds__(128) embed(const __grid_constant__ Embed call) {
    u64 from = (u64)call.tokens[blockIdx.x] * call.width, to = (u64)blockIdx.x * call.width;
    for (u32 at = threadIdx.x * 4; at < call.width; at += 128 * 4) {
        float4 x;
        if (call.element == F32) {
            x = *(const float4 *)(call.table + (from + at) * 4);
        } else {
            uint2 pairs = *(const uint2 *)(call.table + (from + at) * 2);
            if (call.element == BF16) {
                x = make_float4(low_of(pairs.x), high_of(pairs.x), low_of(pairs.y), high_of(pairs.y));
            } else {
                x = make_float4(half_to_float(pairs.x & 0xffff), half_to_float(pairs.x >> 16),
                                half_to_float(pairs.y & 0xffff), half_to_float(pairs.y >> 16));
            }
        }
        *(float4 *)(call.x + to + at) = x;
    }
}
