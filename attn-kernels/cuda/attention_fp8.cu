//! Paged attention in the FP8 domain: the tensor cores multiply the codes of Q and K, and of P and V
//! (`attention_fp8_…`; with `QK_ONLY` those of Q and K alone, `attention_fp8q_…`). For sm_89 and
//! sm_120, whose `mma.sync` does that in hardware. Built as attention.cu, with the types that are FP8;
//! V's dynamic scales are none of P's codes, so `attention_fp8_…` takes no such cache.
#include "attention_kernel.cuh"
#include "products_fp8.cuh"

#ifdef QK_ONLY
#define GLUE(k, v, d, m) attention_fp8q_##k##_##v##_d##d##_m##m
constexpr u32 MULTIPLIED = CODES_QK;
template <class S> using Probs = NumberProbs<S>;
#else
#define GLUE(k, v, d, m) attention_fp8_##k##_##v##_d##d##_m##m
constexpr u32 MULTIPLIED = CODES;
template <class S> using Probs = CodeProbs<S>;
#endif
template <class S> using Keys = CodeKeys<S>;
#include "attention_entry.cuh"
