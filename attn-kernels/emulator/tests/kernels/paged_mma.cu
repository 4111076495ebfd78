// Paged decode on tensor cores: one warp per (sequence, kv head, split), the group's heads as rows of a
// 16-row tile, f16 products with f32 sums. Codes come by cp.async in two stages and become halves in
// shared memory, from where ldmatrix feeds both products.
#include "paged.cuh"

#define PITCH (HEAD_DIM + 8)

__device__ __forceinline__ unsigned at_shared(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }

__device__ __forceinline__ void product(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

extern "C" __global__ void __launch_bounds__(32) decode_mma(float* __restrict__ part_o, float2* __restrict__ part_md,
    const __half* __restrict__ q, const code* __restrict__ k_cache, const code* __restrict__ v_cache,
    const float* __restrict__ k_scale, const float* __restrict__ v_scale, const int* __restrict__ tables,
    const int* __restrict__ lengths, int max_blocks, int heads, int splits, float scale_log2)
{
    __shared__ __align__(16) code raw[2][2][BLOCK][HEAD_DIM]; // stage, K or V
    __shared__ __align__(16) __half tile[2][BLOCK][PITCH];    // K, V
    const int seq = blockIdx.x, head = blockIdx.y, split = blockIdx.z, lane = threadIdx.x, row = lane >> 2, pair = lane & 3;
    const int length = lengths[seq], blocks = (length + BLOCK - 1) / BLOCK, each = (blocks + splits - 1) / splits;
    const int first = split * each, last = min(blocks, first + each);
    const float scale = k_scale[head] * scale_log2;
    // Rows beyond the group are zero.
    unsigned fq[8][4];
    const unsigned* q_row = (const unsigned*)(q + (((size_t)seq * heads + head) * GROUP + (row < GROUP ? row : 0)) * HEAD_DIM);
#pragma unroll
    for (int k = 0; k < 8; k++) {
        fq[k][0] = row < GROUP ? q_row[k * 8 + pair] : 0u;
        fq[k][2] = row < GROUP ? q_row[k * 8 + pair + 4] : 0u;
        fq[k][1] = fq[k][3] = 0u;
    }
    float o[16][4] = {}, m = -INFINITY, d = 0.f;
    auto fetch = [&](int b, int stage) {
        const long long block = tables[(size_t)seq * max_blocks + b];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int byte = (i * 32 + lane) * 16, slot = byte / HEAD_DIM, dim = byte % HEAD_DIM;
            // Slots behind the end were never written: zeros instead.
            const int size = b * BLOCK + slot < length ? 16 : 0;
            const size_t from = row_of(block, slot, head, heads) * HEAD_DIM + dim;
            asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at_shared(&raw[stage][0][slot][dim])), "l"(k_cache + from), "r"(size) : "memory");
            asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at_shared(&raw[stage][1][slot][dim])), "l"(v_cache + from), "r"(size) : "memory");
        }
        asm volatile("cp.async.commit_group;" ::: "memory");
    };
    if (first < last)
        fetch(first, 0);
    for (int b = first; b < last; b++) {
        const int stage = (b - first) & 1;
        if (b + 1 < last) {
            fetch(b + 1, stage ^ 1);
            asm volatile("cp.async.wait_group 1;" ::: "memory");
        } else {
            asm volatile("cp.async.wait_group 0;" ::: "memory");
        }
        __syncwarp();
#pragma unroll
        for (int i = 0; i < 8; i++) {
            const int which = i >> 2, byte = ((i & 3) * 32 + lane) * 16, slot = byte / HEAD_DIM, dim = byte % HEAD_DIM;
            const uint4 w = *(const uint4*)&raw[stage][which][slot][dim];
            const unsigned words[4] = {w.x, w.y, w.z, w.w};
#pragma unroll
            for (int j = 0; j < 4; j++) {
                *(__half2*)&tile[which][slot][dim + 4 * j] = decode2(words[j] & 0xffff);
                *(__half2*)&tile[which][slot][dim + 4 * j + 2] = decode2(words[j] >> 16);
            }
        }
        __syncwarp();
        float s[2][4] = {};
#pragma unroll
        for (int k = 0; k < 8; k++) {
            // Rows of K are columns of the product: tokens 0-7 and 8-15, dimensions k·16 and k·16 + 8.
            unsigned f[4];
            const int t = (lane & 7) + (lane >> 4) * 8, c = k * 16 + (lane >> 3 & 1) * 8;
            asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                         : "=r"(f[0]), "=r"(f[1]), "=r"(f[2]), "=r"(f[3]) : "r"(at_shared(&tile[0][t][c])) : "memory");
            product(s[0], fq[k], f[0], f[1]);
            product(s[1], fq[k], f[2], f[3]);
        }
        float best = m;
#pragma unroll
        for (int n = 0; n < 2; n++)
#pragma unroll
            for (int j = 0; j < 2; j++) {
                s[n][j] = b * BLOCK + n * 8 + pair * 2 + j < length ? s[n][j] * scale : -INFINITY;
                best = fmaxf(best, s[n][j]);
            }
        best = fmaxf(best, __shfl_xor_sync(0xffffffffu, best, 1));
        best = fmaxf(best, __shfl_xor_sync(0xffffffffu, best, 2));
        const float keep = exp2_fast(m - best);
        m = best;
        float sum = 0.f;
#pragma unroll
        for (int n = 0; n < 2; n++)
#pragma unroll
            for (int j = 0; j < 2; j++) {
                s[n][j] = exp2_fast(s[n][j] - best);
                sum += s[n][j];
            }
        sum += __shfl_xor_sync(0xffffffffu, sum, 1);
        sum += __shfl_xor_sync(0xffffffffu, sum, 2);
        d = d * keep + sum;
        const __half2 p0 = __floats2half2_rn(s[0][0], s[0][1]), p1 = __floats2half2_rn(s[1][0], s[1][1]);
        const unsigned fp[4] = {*(const unsigned*)&p0, 0u, *(const unsigned*)&p1, 0u};
#pragma unroll
        for (int n = 0; n < 16; n++) {
            unsigned v0, v1;
            asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
                         : "=r"(v0), "=r"(v1) : "r"(at_shared(&tile[1][lane & 15][n * 8])) : "memory");
            o[n][0] *= keep;
            o[n][1] *= keep;
            product(o[n], fp, v0, v1);
        }
        __syncwarp();
    }
    if (row < GROUP) {
        const size_t to = (((size_t)seq * heads + head) * GROUP + row) * splits + split;
#pragma unroll
        for (int n = 0; n < 16; n++)
            *(float2*)&part_o[to * HEAD_DIM + n * 8 + pair * 2] = make_float2(o[n][0] * v_scale[head], o[n][1] * v_scale[head]);
        if (pair == 0)
            part_md[to] = make_float2(m, d);
    }
}
