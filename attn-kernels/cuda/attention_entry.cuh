//! Entry points of attention, one per specialisation: head dimension and row tiles, of the types that
//! the build names. The includer defines GLUE, MULTIPLIED, Keys and Probs; the build K_TYPE, V_TYPE,
//! their names, and which of D64, D96, D128 and D256 are wanted: 1, 2, or both row tiles as 3.
//! Grid (tasks, KV heads).
#pragma once
#include "attention_kernel.cuh"

#define NAME(k, v, d, m) GLUE(k, v, d, m)

/// Registers are bounded so that this many CTAs fit a multiprocessor.
constexpr u32 resident(u32 head_dim, u32 tiles) { return head_dim > 128 ? 2 : tiles == 1 ? 4 : 3; }

/// The kernel, and the dynamic shared memory that it is to be launched with, where no side has
/// dynamic scales; `DYNAMIC_BYTES` more where one has.
#define KERNEL(K, V, K_NAME, V_NAME, D, M)                                                        \
    extern "C" {                                                                                  \
    __device__ u32 NAME(K_NAME, V_NAME, D, M##_shared) = Shape<K, V, D, M, MULTIPLIED>::BYTES;    \
    __global__ void __launch_bounds__(THREADS, resident(D, M))                                    \
        NAME(K_NAME, V_NAME, D, M)(const __grid_constant__ Call call) {                           \
        extern __shared__ __align__(128) u8 memory[];                                             \
        using S = Shape<K, V, D, M, MULTIPLIED>;                                                  \
        Attention<S, Keys<S>, Probs<S>>(call, memory).run();                                    \
    }                                                                                             \
    }

#define ONE(D) KERNEL(K_TYPE, V_TYPE, K_NAME, V_NAME, D, 1)
#define TWO(D) KERNEL(K_TYPE, V_TYPE, K_NAME, V_NAME, D, 2)

#if D64 & 1
ONE(64)
#endif
#if D64 & 2
TWO(64)
#endif
#if D96 & 1
ONE(96)
#endif
#if D96 & 2
TWO(96)
#endif
#if D128 & 1
ONE(128)
#endif
#if D128 & 2
TWO(128)
#endif
#if D256 & 1
ONE(256)
#endif
#if D256 & 2
TWO(256)
#endif
