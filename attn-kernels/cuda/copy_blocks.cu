//! Copies whole blocks, of one pool or between two (swapping). Grid (pieces, copies, sides).
//!
//! Copies of one launch run in any order: the host gives one launch no block that another of its
//! copies writes.
#include "types.cuh"

/// Laid out as `src/cuda/backend` does.
struct Copy {
    const u8 *from[2];
    u8 *to[2];
    /// Bytes of a block of each side, multiples of 16.
    u64 bytes[2];
    /// `[copies][2]`: source and destination.
    const u32 *pairs;
};

extern "C" __global__ void __launch_bounds__(128) copy_blocks(const __grid_constant__ Copy call) {
    bool values = blockIdx.z == 1;
    u64 bytes = values ? call.bytes[1] : call.bytes[0];
    const uint4 *from = (const uint4 *)((values ? call.from[1] : call.from[0]) + call.pairs[blockIdx.y * 2] * bytes);
    uint4 *to = (uint4 *)((values ? call.to[1] : call.to[0]) + call.pairs[blockIdx.y * 2 + 1] * bytes);
    u64 units = bytes / 16, stride = (u64)gridDim.x * blockDim.x;
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < units; i += stride) to[i] = from[i];
}
