// Paged decode over an E4M3 cache: append, attention by CUDA cores over splits, merge of the splits.
#include "paged.cuh"

// grid (sequences, kv heads), 64 threads: two dimensions each. A negative slot is a row to skip.
extern "C" __global__ void __launch_bounds__(64) append(code* __restrict__ k_cache, code* __restrict__ v_cache,
    const __nv_bfloat16* __restrict__ k, const __nv_bfloat16* __restrict__ v, const float* __restrict__ k_scale,
    const float* __restrict__ v_scale, const long long* __restrict__ slots, unsigned* __restrict__ absmax, int heads)
{
    const int seq = blockIdx.x, head = blockIdx.y, t = threadIdx.x;
    const long long slot = slots[seq];
    if (slot < 0)
        return;
    const size_t from = ((size_t)seq * heads + head) * HEAD_DIM + 2 * t;
    const size_t to = row_of(slot / BLOCK, (int)(slot % BLOCK), head, heads) * HEAD_DIM + 2 * t;
    const float2 x = __bfloat1622float2(*(const __nv_bfloat162*)(k + from)), y = __bfloat1622float2(*(const __nv_bfloat162*)(v + from));
    const float ks = 1.f / k_scale[head], vs = 1.f / v_scale[head];
    *(unsigned short*)(k_cache + to) = __nv_cvt_float2_to_fp8x2(make_float2(x.x * ks, x.y * ks), __NV_SATFINITE, __NV_E4M3);
    *(unsigned short*)(v_cache + to) = __nv_cvt_float2_to_fp8x2(make_float2(y.x * vs, y.y * vs), __NV_SATFINITE, __NV_E4M3);
    float m = fmaxf(fabsf(x.x), fabsf(x.y));
    for (int o = 16; o; o >>= 1)
        m = fmaxf(m, __shfl_xor_sync(0xffffffffu, m, o));
    if ((t & 31) == 0)
        atomicMax(&absmax[head], __float_as_uint(m)); // not negative: ordered as their bits
}

// grid (sequences, kv heads, splits), four warps. A quarter of a warp takes a token: 8 lanes of 16 codes.
// part_o: [sequence][q head][split][dim] unnormalised, part_md: maximum (log2) and denominator.
extern "C" __global__ void __launch_bounds__(128) decode(float* __restrict__ part_o, float2* __restrict__ part_md,
    const __half* __restrict__ q, const code* __restrict__ k_cache, const code* __restrict__ v_cache,
    const float* __restrict__ k_scale, const float* __restrict__ v_scale, const int* __restrict__ tables,
    const int* __restrict__ lengths, int max_blocks, int heads, int splits, float scale_log2)
{
    __shared__ float all_o[4][GROUP][HEAD_DIM];
    __shared__ float2 all_md[4][GROUP];
    const int seq = blockIdx.x, head = blockIdx.y, split = blockIdx.z;
    const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5, token = lane >> 3, part = lane & 7;
    const int length = lengths[seq], blocks = (length + BLOCK - 1) / BLOCK, each = (blocks + splits - 1) / splits;
    const int first = split * each, last = min(blocks, first + each);
    const float qk_scale = k_scale[head] * scale_log2;
    float queries[GROUP][16], o[GROUP][16], m[GROUP], d[GROUP];
#pragma unroll
    for (int g = 0; g < GROUP; g++) {
        m[g] = -INFINITY;
        d[g] = 0.f;
        const uint4* row = (const uint4*)(q + (((size_t)seq * heads + head) * GROUP + g) * HEAD_DIM + part * 16);
        const uint4 lo = row[0], hi = row[1];
        const unsigned words[8] = {lo.x, lo.y, lo.z, lo.w, hi.x, hi.y, hi.z, hi.w};
#pragma unroll
        for (int i = 0; i < 8; i++) {
            const float2 f = __half22float2(*(const __half2*)&words[i]);
            queries[g][2 * i] = f.x * qk_scale;
            queries[g][2 * i + 1] = f.y * qk_scale;
            o[g][2 * i] = o[g][2 * i + 1] = 0.f;
        }
    }
    for (int b = first; b < last; b++) {
        const long long block = tables[(size_t)seq * max_blocks + b];
        const int slot = warp * 4 + token;
        const bool inside = b * BLOCK + slot < length;
        const size_t at = row_of(block, slot, head, heads) * HEAD_DIM + part * 16;
        uint4 kw = make_uint4(0, 0, 0, 0), vw = kw;
        if (inside) {
            kw = *(const uint4*)(k_cache + at);
            vw = *(const uint4*)(v_cache + at);
        }
        const unsigned ks[4] = {kw.x, kw.y, kw.z, kw.w}, vs[4] = {vw.x, vw.y, vw.z, vw.w};
        float s[GROUP] = {};
#pragma unroll
        for (int i = 0; i < 8; i++) {
            const float2 f = __half22float2(decode2(ks[i >> 1] >> (i & 1) * 16 & 0xffff));
#pragma unroll
            for (int g = 0; g < GROUP; g++)
                s[g] = fmaf(queries[g][2 * i + 1], f.y, fmaf(queries[g][2 * i], f.x, s[g]));
        }
        float values[16];
#pragma unroll
        for (int i = 0; i < 8; i++) {
            const float2 f = __half22float2(decode2(vs[i >> 1] >> (i & 1) * 16 & 0xffff));
            values[2 * i] = f.x;
            values[2 * i + 1] = f.y;
        }
#pragma unroll
        for (int g = 0; g < GROUP; g++) {
#pragma unroll
            for (int x = 4; x; x >>= 1)
                s[g] += __shfl_xor_sync(0xffffffffu, s[g], x);
            const float best = inside ? fmaxf(m[g], s[g]) : m[g];
            const float keep = m[g] == best ? 1.f : exp2_fast(m[g] - best), p = inside ? exp2_fast(s[g] - best) : 0.f;
            m[g] = best;
            d[g] = d[g] * keep + p;
#pragma unroll
            for (int i = 0; i < 16; i++)
                o[g][i] = fmaf(p, values[i], o[g][i] * keep);
        }
    }
#pragma unroll
    for (int g = 0; g < GROUP; g++) {
#pragma unroll
        for (int x = 8; x < 32; x <<= 1) {
            const float m2 = __shfl_xor_sync(0xffffffffu, m[g], x), d2 = __shfl_xor_sync(0xffffffffu, d[g], x), best = fmaxf(m[g], m2);
            const float w1 = m[g] == best ? 1.f : exp2_fast(m[g] - best), w2 = m2 == best ? 1.f : exp2_fast(m2 - best);
            m[g] = best;
            d[g] = d[g] * w1 + d2 * w2;
#pragma unroll
            for (int i = 0; i < 16; i++)
                o[g][i] = o[g][i] * w1 + __shfl_xor_sync(0xffffffffu, o[g][i], x) * w2;
        }
        if (token == 0) {
#pragma unroll
            for (int i = 0; i < 16; i += 4)
                *(float4*)&all_o[warp][g][part * 16 + i] = make_float4(o[g][i], o[g][i + 1], o[g][i + 2], o[g][i + 3]);
            if (part == 0)
                all_md[warp][g] = make_float2(m[g], d[g]);
        }
    }
    __syncthreads();
    for (int g = 0; g < GROUP; g++) {
        float best = -INFINITY, sum = 0.f, den = 0.f;
        for (int w = 0; w < 4; w++)
            best = fmaxf(best, all_md[w][g].x);
        for (int w = 0; w < 4; w++) {
            const float2 md = all_md[w][g];
            const float weight = md.x == best ? 1.f : exp2_fast(md.x - best);
            sum = fmaf(all_o[w][g][tid], weight, sum);
            den = fmaf(md.y, weight, den);
        }
        const size_t row = (((size_t)seq * heads + head) * GROUP + g) * splits + split;
        part_o[row * HEAD_DIM + tid] = sum * v_scale[head];
        if (tid == 0)
            part_md[row] = make_float2(best, den);
    }
}

// grid (sequences, q heads), one thread per dimension.
extern "C" __global__ void __launch_bounds__(128) merge(__half* __restrict__ out, const float* __restrict__ part_o, const float2* __restrict__ part_md, int splits)
{
    const size_t row = (size_t)blockIdx.x * gridDim.y + blockIdx.y;
    const int dim = threadIdx.x;
    float best = -INFINITY, sum = 0.f, den = 0.f;
    for (int s = 0; s < splits; s++)
        best = fmaxf(best, part_md[row * splits + s].x);
    for (int s = 0; s < splits; s++) {
        const float2 md = part_md[row * splits + s];
        const float weight = md.x == -INFINITY ? 0.f : exp2_fast(md.x - best);
        den = fmaf(md.y, weight, den);
        sum = fmaf(part_o[(row * splits + s) * HEAD_DIM + dim], weight, sum);
    }
    out[row * HEAD_DIM + dim] = __float2half_rn(den > 0.f ? sum / den : 0.f);
}
