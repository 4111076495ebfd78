// Exclusive prefix sum of u32: CTA scans with shuffles, a scan of the CTAs' sums, an addition.

__device__ __forceinline__ unsigned warp_inclusive(unsigned x)
{
    const int lane = threadIdx.x & 31;
#pragma unroll
    for (int o = 1; o < 32; o <<= 1) {
        const unsigned y = __shfl_up_sync(0xffffffffu, x, o);
        if (lane >= o)
            x += y;
    }
    return x;
}

// Dynamic shared memory: one word per warp.
extern "C" __global__ void scan_blocks(unsigned* __restrict__ out, unsigned* __restrict__ sums, const unsigned* __restrict__ in, int n)
{
    extern __shared__ unsigned warps[];
    const int i = blockIdx.x * blockDim.x + threadIdx.x, lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const unsigned x = i < n ? in[i] : 0;
    const unsigned inclusive = warp_inclusive(x);
    if (lane == 31)
        warps[warp] = inclusive;
    __syncthreads();
    if (warp == 0) {
        const unsigned w = lane < (int)(blockDim.x >> 5) ? warps[lane] : 0;
        const unsigned s = warp_inclusive(w);
        if (lane < (int)(blockDim.x >> 5))
            warps[lane] = s - w;
        if (sums && lane == 31)
            sums[blockIdx.x] = s;
    }
    __syncthreads();
    if (i < n)
        out[i] = warps[warp] + inclusive - x;
}

extern "C" __global__ void add_offsets(unsigned* __restrict__ out, const unsigned* __restrict__ offsets, int n)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        out[i] += offsets[blockIdx.x];
}
