// Transposes of 32×32 tiles through shared memory: with a column of padding, without (every read of a
// column then hits one bank), and in registers by shuffles.

template <int PITCH>
__device__ void transpose(float* __restrict__ out, const float* __restrict__ in, int rows, int columns)
{
    __shared__ float tile[32 * PITCH];
    const int x = blockIdx.x * 32 + threadIdx.x, y = blockIdx.y * 32 + threadIdx.y;
    for (int i = 0; i < 32; i += 8)
        if (x < columns && y + i < rows)
            tile[(threadIdx.y + i) * PITCH + threadIdx.x] = in[(size_t)(y + i) * columns + x];
    __syncthreads();
    const int tx = blockIdx.y * 32 + threadIdx.x, ty = blockIdx.x * 32 + threadIdx.y;
    for (int i = 0; i < 32; i += 8)
        if (tx < rows && ty + i < columns)
            out[(size_t)(ty + i) * rows + tx] = tile[threadIdx.x * PITCH + threadIdx.y + i];
}

extern "C" __global__ void __launch_bounds__(256) transpose_padded(float* __restrict__ out, const float* __restrict__ in, int rows, int columns)
{
    transpose<33>(out, in, rows, columns);
}

extern "C" __global__ void __launch_bounds__(256) transpose_conflicts(float* __restrict__ out, const float* __restrict__ in, int rows, int columns)
{
    transpose<32>(out, in, rows, columns);
}

// One warp, 32×32 bytes: lane l holds row l as 32 bytes and ends with column l.
extern "C" __global__ void __launch_bounds__(32) transpose_bytes(unsigned char* __restrict__ out, const unsigned char* __restrict__ in)
{
    const int lane = threadIdx.x;
    unsigned char row[32], column[32];
    for (int i = 0; i < 32; i++)
        row[i] = in[lane * 32 + i];
#pragma unroll 1
    for (int step = 0; step < 32; step++) {
        // Lane l sends element (l ^ step) of its row to that lane: an index known at run time only, so
        // the arrays lie in local memory.
        const int other = lane ^ step;
        column[other] = (unsigned char)__shfl_xor_sync(0xffffffffu, (int)row[other], step);
    }
    for (int i = 0; i < 32; i += 4)
        *(uchar4*)(out + lane * 32 + i) = make_uchar4(column[i], column[i + 1], column[i + 2], column[i + 3]);
}
