// Histograms: bins in shared memory by atomics, one per warp, merged into global memory; and a count
// per distinct value by matching lanes first.

extern "C" __global__ void __launch_bounds__(128) histogram_256(unsigned* __restrict__ bins, const uchar4* __restrict__ data, int n)
{
    __shared__ unsigned local[4][256];
    const int warp = threadIdx.x >> 5;
    for (int i = threadIdx.x; i < 4 * 256; i += blockDim.x)
        ((unsigned*)local)[i] = 0;
    __syncthreads();
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
        const uchar4 v = data[i];
        atomicAdd(&local[warp][v.x], 1u);
        atomicAdd(&local[warp][v.y], 1u);
        atomicAdd(&local[warp][v.z], 1u);
        atomicAdd(&local[warp][v.w], 1u);
    }
    __syncthreads();
    for (int i = threadIdx.x; i < 256; i += blockDim.x)
        atomicAdd(&bins[i], local[0][i] + local[1][i] + local[2][i] + local[3][i]);
}

extern "C" __global__ void __launch_bounds__(128) histogram_matched(unsigned* __restrict__ bins, const unsigned* __restrict__ data, int n)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    const unsigned active = __ballot_sync(0xffffffffu, i < n);
    if (i >= n)
        return;
    const unsigned value = data[i] & 63;
    const unsigned same = __match_any_sync(active, value);
    if (__ffs(same) - 1 == (int)(threadIdx.x & 31))
        atomicAdd(&bins[value], (unsigned)__popc(same));
}

// A compare-and-swap loop: the largest f32 of unlike signs.
extern "C" __global__ void __launch_bounds__(64) max_by_cas(float* out, const float* __restrict__ x, int n)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n)
        return;
    const float value = x[i];
    int old = *(volatile int*)out;
    while (__int_as_float(old) < value) {
        const int seen = atomicCAS((int*)out, old, __float_as_int(value));
        if (seen == old)
            break;
        old = seen;
    }
}
