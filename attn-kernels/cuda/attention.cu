//! Paged attention on numbers, `attention_<K>_<V>_d<head_dim>_m<row tiles>`: codes become f16 (bf16
//! for bf16 storage) and the tensor cores multiply those. What the build defines: attention_entry.cuh.
#include "attention_kernel.cuh"

#define GLUE(k, v, d, m) attention_##k##_##v##_d##d##_m##m
constexpr u32 MULTIPLIED = NUMBERS;
template <class S> using Keys = NumberKeys<S>;
template <class S> using Probs = NumberProbs<S>;
#include "attention_entry.cuh"
