//! What happens to scores before the softmax, and which keys a row sees. The order is the CPU's:
//! factor, soft cap, ALiBi, mask.
#pragma once
#include "types.cuh"

/// Positions `[from, to)` that a row sees; its own position is `to − 1` where it is causal.
struct Visible {
    u32 from, to;

    DEVICE bool sees(u32 position) const { return position >= from && position < to; }
};

/// The visible range of query position `position` in a sequence of `kv_len`.
DEVICE Visible visible(u32 kv_len, u32 position, bool causal, u32 window) {
    if (!causal) return {0, kv_len};
    u32 end = position + 1;
    return {window != 0 && window < end ? end - window : 0, end};
}

/// tanh to a few units in the last place, where `tanh.approx` has 11 bits.
DEVICE float tanh_accurate(float x) {
    float a = fabsf(x);
    // 1 − 2 / (e^2a + 1) loses what a small result needs; there the series is exact enough.
    float t = 1.0f - 2.0f * reciprocal(ex2(a * (2.0f * LOG2E)) + 1.0f);
    float y = a * a;
    float series = fmaf(y, fmaf(y, fmaf(y, fmaf(y, 62.0f / 2835.0f, -17.0f / 315.0f), 2.0f / 15.0f),
                                -1.0f / 3.0f),
                        1.0f);
    float result = a < 0.35f ? a * series : t;
    return x < 0.0f ? -result : result;
}

DEVICE float soft_capped(float score, float cap, float inverse_cap) {
    return cap * tanh_accurate(score * inverse_cap);
}
