//! From a chunk's dot products to P and its statistics.
#pragma once
#include "attention.cuh"

/// The largest and the sum over a warp: the same bits in every lane.
DEVICE float warp_max(float x) {
#pragma unroll
    for (u32 distance = WARP / 2; distance > 0; distance /= 2) x = fmaxf(x, __shfl_xor_sync(~0u, x, distance));
    return x;
}
DEVICE float warp_sum(float x) {
#pragma unroll
    for (u32 distance = WARP / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(~0u, x, distance);
    return x;
}

/// One row of a chunk, a warp's work: lane's eight keys, two of every `place`.
template <class S, class Probs> struct Softmax {
    const Call &call;
    u8 *memory;
    /// Row of the task, and its token's position; the first key of the chunk.
    u32 r, position, base, lane;
    Visible seen;
    /// Dynamic scales of the chunk's keys, and of V's behind them.
    const float *dynamic;
    float x[8], v_scale[8];

    /// Calls `f(index, key)` for the lane's keys, from the chunk's first.
    template <class F> DEVICE void each(F f) const {
#pragma unroll
        for (u32 i = 0; i < 8; i++) f(i, (lane + i / 2 * WARP) / 4 * 8 + lane % 4 + i % 2 * 4);
    }

    /// The dot products that the row sees, made scores; −∞ for the other keys.
    DEVICE void load_scores(float factor, u32 head) {
        const float2 *dots = (const float2 *)(memory + S::SCORES) + r * SCORE_STRIDE / 2;
#pragma unroll
        for (u32 i = 0; i < 4; i++) {
            u32 place = lane + i * WARP, key = base + place / 4 * 8 + lane % 4;
            float2 pair = make_float2(0, 0);
            if (seen.sees(key) || seen.sees(key + 4)) pair = dots[place];
            x[2 * i] = pair.x * factor;
            x[2 * i + 1] = pair.y * factor;
        }
        if (call.k_dynamic != nullptr) {
            each([&](u32 i, u32 key) { x[i] *= seen.sees(base + key) ? dynamic[key] : 0.0f; });
        }
        if (call.soft_cap != 0.0f) {
            float inverse = divide(1.0f, call.soft_cap);
            each([&](u32 i, u32) { x[i] = soft_capped(x[i], call.soft_cap, inverse); });
        }
        if (call.slopes != nullptr) {
            float slope = call.slopes[head];
            each([&](u32 i, u32 key) { x[i] = fmaf(slope, (float)((int)(base + key) - (int)position), x[i]); });
        }
        each([&](u32 i, u32 key) { x[i] = seen.sees(base + key) ? x[i] : negative_infinity(); });
    }

    /// V's dynamic scales relative to a power of two near the largest that the row sees, which is
    /// returned: so that no P is too small for f16.
    DEVICE float load_value_scales() {
        float widest = 0.0f;
        each([&](u32 i, u32 key) {
            v_scale[i] = seen.sees(base + key) ? dynamic[CHUNK + key] : 0.0f;
            widest = fmaxf(widest, v_scale[i]);
        });
        widest = warp_max(widest);
        u32 exponent = __float_as_uint(widest == 0.0f ? 1.0f : widest) & 0x7f800000u;
        float inverse = __uint_as_float((254u << 23) - exponent);
        each([&](u32 i, u32) { v_scale[i] *= inverse; });
        return __uint_as_float(exponent);
    }

    /// P = exp(score − largest), rounded to V's operand type, takes the place of the dot products.
    /// Sums are of the rounded numbers; where V has dynamic scales P takes them on, and sums are of P
    /// without.
    DEVICE void run(float factor, u32 head) {
        load_scores(factor, head);
        float most = x[0], sum = 0.0f, range = 1.0f;
        bool scaled = S::MATH != CODES && call.v_dynamic != nullptr;
        if (scaled) range = load_value_scales();
#pragma unroll
        for (u32 i = 1; i < 8; i++) most = fmaxf(most, x[i]);
        most = warp_max(most);
        float least = base_of(most);
        // Every lane has read its dot products.
        __syncwarp();
#pragma unroll
        for (u32 i = 0; i < 4; i++) {
            float low = exp_down(x[2 * i] - least), high = exp_down(x[2 * i + 1] - least);
            Probs::round(low, high, call.prob_scale);
            float own = low + high;
            if (scaled) low *= v_scale[2 * i], high *= v_scale[2 * i + 1];
            float put = Probs::put(memory, r, lane + i * WARP, low, high, call.prob_scale);
            sum += scaled ? own : put;
        }
        sum = warp_sum(sum);
        if (lane == 0) {
            // Undone on the sum and on P·V: the scale of P's codes.
            float scale = call.prob_scale != 0.0f ? call.prob_scale : 1.0f;
            *(ChunkStats *)(memory + S::stats(r)) = {most, sum * scale, range * scale, 0.0f};
        }
    }
};
