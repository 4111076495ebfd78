//! The algebra of partial softmax states: largest score, sum of exp(score − largest), output.
//! Written once; the CTA that walks chunks and the merge kernel get the same bits from it.
#pragma once
#include "types.cuh"

/// A row's statistics: no keys at all is (−∞, 0).
struct Stats {
    float max, sum;

    DEVICE static Stats empty() { return {negative_infinity(), 0.0f}; }
    DEVICE bool is_empty() const { return max == negative_infinity() && sum == 0.0f; }
};

/// What to subtract from scores: with nothing but −∞ every weight is 0, not NaN.
DEVICE float base_of(float max) { return max == negative_infinity() ? 0.0f : max; }

/// exp of a number ≤ 0, to about 2 units in the last place.
DEVICE float exp_down(float x) { return ex2(x * LOG2E); }

/// The factors of the running and the new output.
struct Weights {
    float running, fresh;
};

/// Merges statistics. A state without keys changes nothing, exactly: then skip the output too.
DEVICE Weights merge(Stats &running, Stats fresh) {
    if (fresh.is_empty()) return {1.0f, 0.0f};
    float max = fmaxf(running.max, fresh.max);
    float base = base_of(max);
    Weights w = {exp_down(running.max - base), exp_down(fresh.max - base)};
    running = {max, fmaf(running.sum, w.running, fresh.sum * w.fresh)};
    return w;
}

/// One element of the merged output.
DEVICE float merge_output(float running, float fresh, Weights w) {
    return fmaf(running, w.running, fresh * w.fresh);
}

/// The natural logarithm of the softmax's denominator.
DEVICE float log_sum(Stats s) { return s.is_empty() ? negative_infinity() : s.max + lg2(s.sum) * LN2; }

/// Ends a row: a sink's logit (`[num_heads]`, or null) joins the denominator with no value. Returns
/// what the output is multiplied with.
DEVICE float final_factor(Stats &s, const float *sinks, u32 head, float v_scale) {
    float weight = 1.0f;
    if (sinks != nullptr) weight = merge(s, {sinks[head], 1.0f}).running;
    return s.is_empty() ? 0.0f : weight * divide(v_scale, s.sum);
}
