// C = A·B with f16 inputs and f32 sums: 64×64 tiles, four warps of 32×32, mma m16n8k16, ldmatrix, and
// three stages of cp.async. A is M×K row-major, B is K×N row-major (loaded transposed).
#include <cuda_fp16.h>

#define TM 64
#define TN 64
#define TK 32
#define STAGES 3
#define PITCH_A (TK + 8)
#define PITCH_B (TN + 8)

__device__ __forceinline__ unsigned to_shared(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }

__device__ __forceinline__ void copy16(void* dst, const void* src, bool inside)
{
    const int bytes = inside ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to_shared(dst)), "l"(src), "r"(bytes) : "memory");
}

__device__ __forceinline__ void mma(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

extern "C" __global__ void __launch_bounds__(128) gemm_f16(float* __restrict__ c, const __half* __restrict__ a, const __half* __restrict__ b, int m, int n, int k)
{
    __shared__ __align__(16) __half sa[STAGES][TM][PITCH_A];
    __shared__ __align__(16) __half sb[STAGES][TK][PITCH_B];
    const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5;
    const int row0 = blockIdx.y * TM, col0 = blockIdx.x * TN, wm = (warp >> 1) * 32, wn = (warp & 1) * 32;
    float acc[2][4][4] = {};
    auto load = [&](int tile, int stage) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int part = tid + i * 128;
            const int ra = part / 4, ca = part % 4 * 8, rb = part / 8, cb = part % 8 * 8;
            const bool in_a = row0 + ra < m && tile * TK + ca < k, in_b = tile * TK + rb < k && col0 + cb < n;
            copy16(&sa[stage][ra][ca], in_a ? a + (size_t)(row0 + ra) * k + tile * TK + ca : a, in_a);
            copy16(&sb[stage][rb][cb], in_b ? b + (size_t)(tile * TK + rb) * n + col0 + cb : b, in_b);
        }
    };
    const int tiles = (k + TK - 1) / TK;
    for (int s = 0; s < STAGES - 1; s++) {
        if (s < tiles)
            load(s, s);
        asm volatile("cp.async.commit_group;" ::: "memory");
    }
    for (int tile = 0; tile < tiles; tile++) {
        asm volatile("cp.async.wait_group %0;" ::"n"(STAGES - 2) : "memory");
        __syncthreads();
        const int next = tile + STAGES - 1;
        if (next < tiles)
            load(next, next % STAGES);
        asm volatile("cp.async.commit_group;" ::: "memory");
        const int stage = tile % STAGES;
#pragma unroll
        for (int kk = 0; kk < TK; kk += 16) {
            unsigned fa[2][4], fb[2][4];
#pragma unroll
            for (int i = 0; i < 2; i++) {
                const unsigned at = to_shared(&sa[stage][wm + i * 16 + (lane & 15)][kk + (lane >> 4) * 8]);
                asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                             : "=r"(fa[i][0]), "=r"(fa[i][1]), "=r"(fa[i][2]), "=r"(fa[i][3]) : "r"(at) : "memory");
                const unsigned bt = to_shared(&sb[stage][kk + (lane & 15)][wn + i * 16 + (lane >> 4) * 8]);
                asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                             : "=r"(fb[i][0]), "=r"(fb[i][1]), "=r"(fb[i][2]), "=r"(fb[i][3]) : "r"(bt) : "memory");
            }
#pragma unroll
            for (int i = 0; i < 2; i++)
#pragma unroll
                for (int j = 0; j < 4; j++)
                    mma(acc[i][j], fa[i], fb[j >> 1][(j & 1) * 2], fb[j >> 1][(j & 1) * 2 + 1]);
        }
    }
    asm volatile("cp.async.wait_all;" ::: "memory");
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 4; j++) {
            const int row = row0 + wm + i * 16 + (lane >> 2), col = col0 + wn + j * 8 + (lane & 3) * 2;
            if (row < m && col < n)
                *(float2*)&c[(size_t)row * n + col] = make_float2(acc[i][j][0], acc[i][j][1]);
            if (row + 8 < m && col < n)
                *(float2*)&c[(size_t)(row + 8) * n + col] = make_float2(acc[i][j][2], acc[i][j][3]);
        }
}

// The plain way: f32 tiles of 16×16 in shared memory.
extern "C" __global__ void __launch_bounds__(256) gemm_f32(float* __restrict__ c, const float* __restrict__ a, const float* __restrict__ b, int m, int n, int k)
{
    __shared__ float sa[16][16], sb[16][16];
    const int tx = threadIdx.x, ty = threadIdx.y, row = blockIdx.y * 16 + ty, col = blockIdx.x * 16 + tx;
    float sum = 0.f;
    for (int t = 0; t < k; t += 16) {
        sa[ty][tx] = row < m && t + tx < k ? a[(size_t)row * k + t + tx] : 0.f;
        sb[ty][tx] = t + ty < k && col < n ? b[(size_t)(t + ty) * n + col] : 0.f;
        __syncthreads();
#pragma unroll
        for (int i = 0; i < 16; i++)
            sum = fmaf(sa[ty][i], sb[i][tx], sum);
        __syncthreads();
    }
    if (row < m && col < n)
        c[(size_t)row * n + col] = sum;
}
