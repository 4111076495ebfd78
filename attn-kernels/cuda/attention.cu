//! Paged attention, one kernel per specialisation: `attention_<K>_<V>_d<head_dim>_m<row tiles>`.
//! The build defines K_TYPE, V_TYPE, their names, and which of D64, D96, D128 and D256 are wanted.
//! Grid (tasks, KV heads).
#include "attention_kernel.cuh"

#define GLUE(k, v, d, m) attention_##k##_##v##_d##d##_m##m
#define NAME(k, v, d, m) GLUE(k, v, d, m)

/// Registers are bounded so that this many CTAs fit a multiprocessor.
constexpr u32 resident(u32 head_dim, u32 tiles) { return head_dim > 128 ? 2 : tiles == 1 ? 4 : 3; }

/// The kernel, and the dynamic shared memory that it is to be launched with, where no side has
/// dynamic scales; `DYNAMIC_BYTES` more where one has.
#define KERNEL(K, V, K_NAME, V_NAME, D, M)                                                        \
    extern "C" {                                                                                  \
    __device__ u32 NAME(K_NAME, V_NAME, D, M##_shared) = Shape<K, V, D, M>::BYTES;                \
    __global__ void __launch_bounds__(THREADS, resident(D, M))                                    \
        NAME(K_NAME, V_NAME, D, M)(const __grid_constant__ Call call) {                           \
        extern __shared__ __align__(128) u8 memory[];                                             \
        Attention<K, V, D, M>(call, memory).run();                                                \
    }                                                                                             \
    }

#define BOTH(D) KERNEL(K_TYPE, V_TYPE, K_NAME, V_NAME, D, 1) KERNEL(K_TYPE, V_TYPE, K_NAME, V_NAME, D, 2)
#define ONE(D) KERNEL(K_TYPE, V_TYPE, K_NAME, V_NAME, D, 1)

#ifdef D64
BOTH(64)
#endif
#ifdef D96
BOTH(96)
#endif
#ifdef D128
BOTH(128)
#endif
#ifdef D256
// Two tiles of rows and 16-bit storage need more shared memory than sm_89 and sm_120 have.
#if D256 == 1
ONE(256)
#else
BOTH(256)
#endif
#endif
