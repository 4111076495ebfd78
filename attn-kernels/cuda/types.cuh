//! Words, vectors and the names of stored types. Header-free: NVRTC alone compiles everything here.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long s64;

#define DEVICE __device__ __forceinline__

/// Stored element types, as the host numbers them (`src/cuda/backend`).
enum Element : u32 { F16 = 0, BF16 = 1, E4M3 = 2, E5M2 = 3, INT8 = 4, F32 = 5 };

/// Bytes of an element.
DEVICE constexpr u32 size_of(u32 element) {
    return element == F32 ? 4 : element <= BF16 ? 2 : 1;
}

/// Threads of a warp, tokens of a chunk (SEMANTICS: chunks of 256 at absolute positions).
constexpr u32 WARP = 32;
constexpr u32 CHUNK = 256;

constexpr float LOG2E = 1.4426950408889634f;
constexpr float LN2 = 0.6931471805599453f;

DEVICE float negative_infinity() { return __uint_as_float(0xff800000u); }
DEVICE bool is_nan(float x) { return !(x == x); }

/// Picks four of the eight bytes of `a` (0-3) and `b` (4-7), one selector digit each, lowest first.
template <u32 SELECT> DEVICE u32 bytes(u32 a, u32 b) { return __byte_perm(a, b, SELECT); }

DEVICE float ex2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

DEVICE float lg2(float x) {
    float y;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

DEVICE float reciprocal(float x) {
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/// The correctly rounded quotient: what bytes written to the cache depend on. A NaN in `a` keeps its
/// sign, which the hardware's division does not.
DEVICE float divide(float a, float b) {
    float quotient = __fdiv_rn(a, b);
    return is_nan(a) ? a : quotient;
}

/// The address of shared memory as `.shared` instructions take it.
DEVICE u32 shared_address(const void *pointer) {
    return (u32)__cvta_generic_to_shared(pointer);
}

/// A word of shared memory.
DEVICE u32 load_shared(u32 address) {
    u32 x;
    asm volatile("ld.shared.u32 %0, [%1];" : "=r"(x) : "r"(address) : "memory");
    return x;
}

/// a × b + c with 64 bits of product: one instruction, where the compiler makes several.
DEVICE u64 multiply_add(u32 a, u32 b, u64 c) {
    u64 x;
    asm("mad.wide.u32 %0, %1, %2, %3;" : "=l"(x) : "r"(a), "r"(b), "l"(c));
    return x;
}
