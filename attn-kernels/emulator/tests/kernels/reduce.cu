// Reductions: a sum by shuffles and shared memory with one atomic per CTA, and extrema by redux.

extern "C" __global__ void __launch_bounds__(256) sum_f32(float* __restrict__ out, const float* __restrict__ x, int n)
{
    __shared__ float partial[8];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    float sum = 0.f;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
        sum += x[i];
    for (int o = 16; o; o >>= 1)
        sum += __shfl_down_sync(0xffffffffu, sum, o);
    if (lane == 0)
        partial[warp] = sum;
    __syncthreads();
    if (warp == 0) {
        sum = lane < (int)(blockDim.x >> 5) ? partial[lane] : 0.f;
        for (int o = 4; o; o >>= 1)
            sum += __shfl_xor_sync(0xffffffffu, sum, o);
        if (lane == 0)
            out[blockIdx.x] = sum;
    }
}

// The least, the greatest and the xor of all, and how many are even.
extern "C" __global__ void __launch_bounds__(128) extrema_s32(int* __restrict__ out, const int* __restrict__ x, int n)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    const int value = i < n ? x[i] : x[0];
    const int low = __reduce_min_sync(0xffffffffu, value), high = __reduce_max_sync(0xffffffffu, value);
    const unsigned mixed = __reduce_xor_sync(0xffffffffu, i < n ? (unsigned)value : 0u);
    const int even = __syncthreads_count(i < n && (value & 1) == 0);
    if ((threadIdx.x & 31) == 0) {
        atomicMin(&out[0], low);
        atomicMax(&out[1], high);
        atomicXor((unsigned*)&out[2], mixed);
    }
    if (threadIdx.x == 0)
        atomicAdd(&out[3], even);
}

// A double-precision dot product, thread 0 adds the CTAs' parts in order once all are there.
extern "C" __global__ void __launch_bounds__(64) dot_f64(double* out, double* parts, unsigned* ticket,
    const double* __restrict__ a, const double* __restrict__ b, int n)
{
    __shared__ double cells[64];
    __shared__ bool last;
    double sum = 0.0;
    for (int i = blockIdx.x * 64 + threadIdx.x; i < n; i += gridDim.x * 64)
        sum = fma(a[i], b[i], sum);
    cells[threadIdx.x] = sum;
    __syncthreads();
    for (int half = 32; half; half >>= 1) {
        if (threadIdx.x < half)
            cells[threadIdx.x] += cells[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        parts[blockIdx.x] = cells[0];
        __threadfence();
        last = atomicInc(ticket, gridDim.x - 1) == gridDim.x - 1;
    }
    __syncthreads();
    if (last && threadIdx.x == 0) {
        __threadfence();
        double total = 0.0;
        for (int i = 0; i < (int)gridDim.x; i++)
            total += ((volatile double*)parts)[i];
        *out = total;
    }
}
