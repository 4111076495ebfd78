//! The tensor cores' products with f32 sums. Fragments as in the PTX ISA, "Matrix Fragments for
//! mma.m16n8k16": with g = lane / 4 and c = lane % 4, A holds rows g and g + 8 at k = 2c, 2c + 1
//! and 2c + 8, 2c + 9; B holds column g at the same k; C holds rows g, g + 8 at columns 2c, 2c + 1.
//!
//! The order of k (and of columns) is free as long as A and B (and whoever reads C) agree; kernels
//! use that to load 16 contiguous bytes per thread instead of two.
#pragma once
#include "types.cuh"

/// `c += a · b` with f16 or bf16 operands.
template <bool BF> DEVICE void mma(float (&c)[4], const uint4 &a, u32 b0, u32 b1) {
    if constexpr (BF) {
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                     "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                     : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                     : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b0), "r"(b1));
    } else {
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                     "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                     : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                     : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b0), "r"(b1));
    }
}

/// `c += a · b` with FP8 codes, m16n8k32 (PTX ISA, "Matrix Fragments for mma.m16n8k32"): four codes
/// where the above has two numbers, k = 4c .. 4c + 3 and 16 + 4c .. 16 + 4c + 3.
template <u32 ELEMENT> DEVICE void mma_codes(float (&c)[4], const uint4 &a, u32 b0, u32 b1) {
    if constexpr (ELEMENT == E4M3) {
        asm volatile("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 "
                     "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                     : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                     : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b0), "r"(b1));
    } else {
        static_assert(ELEMENT == E5M2, "an FP8 type");
        asm volatile("mma.sync.aligned.m16n8k32.row.col.f32.e5m2.e5m2.f32 "
                     "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                     : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                     : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b0), "r"(b1));
    }
}
