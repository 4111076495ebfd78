// What the paged kernels share: the shape of the cache, conversions, the merge of two softmax states.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#define HEAD_DIM 128
#define BLOCK 16
#define GROUP 4

#define INFINITY __int_as_float(0x7f800000)

typedef unsigned char code;

__device__ __forceinline__ float exp2_fast(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// Two E4M3 codes as two halves: the hardware's conversion, or shifts. E4M3 has 7 fewer exponents below
// and one fraction bit in another place: a half with the code's bits is the value times 2^-8.
__device__ __forceinline__ __half2 decode2(unsigned codes)
{
    __half2_raw r;
#if __CUDA_ARCH__ >= 890
    r = __nv_cvt_fp8x2_to_halfraw2((__nv_fp8x2_storage_t)codes, __NV_E4M3);
    return __half2(r);
#else
    const unsigned low = (codes & 0x80u) << 8 | (codes & 0x7fu) << 7;
    const unsigned high = (codes & 0x8000u) | (codes & 0x7f00u) >> 1;
    r.x = (unsigned short)low;
    r.y = (unsigned short)high;
    return __hmul2(__half2(r), __float2half2_rn(256.f));
#endif
}

// Where a token's head lies: block · (BLOCK · heads) + slot · heads + head, in rows (the NHD layout).
__device__ __forceinline__ size_t row_of(long long block, int slot, int head, int heads)
{
    return ((size_t)block * BLOCK + slot) * heads + head;
}
