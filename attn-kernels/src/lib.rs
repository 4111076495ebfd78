//! Paged attention over FP8, INT8 and 16-bit KV caches, fused with dequantization.
