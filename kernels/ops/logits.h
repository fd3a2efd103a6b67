// What sampling needs of a row of logits: its maximum, sums of exponentials, and the ids above a threshold.
#pragma once

#include <cstdint>

#include "ops/math.h"

namespace candlewick {

// The highest number; NaN is skipped; -infinity when there is none.
template <class S>
static inline float maximum(const float* logits, int count) {
    using F32 = typename S::F32;
    const F32 lowest = S::set1(-__builtin_inff());
    F32 highest[4] = {lowest, lowest, lowest, lowest};
    int i = 0;
    for (; i + 4 * S::lanes <= count; i += 4 * S::lanes)
        for (int j = 0; j < 4; ++j) highest[j] = S::max(S::load(logits + i + j * S::lanes), highest[j]);
    for (; i < count; i += S::lanes) {
        const int rest = count - i < S::lanes ? count - i : S::lanes;
        const F32 value = S::select(S::first(rest), S::load_first(logits + i, rest), lowest);
        highest[0] = S::max(value, highest[0]);
    }
    return S::max_lane(S::max(S::max(highest[0], highest[1]), S::max(highest[2], highest[3])));
}

// Sum of exp((logits[i] - maximum) * inverse_temperature); NaN counts as nothing. Runs of 256 are summed in float, lane
// by lane, and the runs in double, both in ascending order.
template <class S>
static inline double sum_exp(const float* logits, int count, float maximum, float inverse_temperature) {
    using F32 = typename S::F32;
    const F32 lowest = S::set1(-__builtin_inff());
    const F32 highest = S::set1(maximum);
    const F32 factor = S::set1(inverse_temperature);
    const auto weight = [&](F32 logit) {
        const F32 number = S::select(S::greater_equal(logit, lowest), logit, lowest);
        return exp<S>(S::mul(S::sub(number, highest), factor));
    };
    constexpr int run = 16 * S::lanes;
    double total = 0.0;
    for (int start = 0; start < count; start += run) {
        const int end = count - start < run ? count : start + run;
        F32 sum = S::zero();
        int i = start;
        for (; i + S::lanes <= end; i += S::lanes) sum = S::add(sum, weight(S::load(logits + i)));
        if (const int rest = end - i; rest > 0)
            sum = S::add(sum, S::select(S::first(rest), weight(S::load_first(logits + i, rest)), S::zero()));
        total += double(S::sum(sum));
    }
    return total;
}

// Indices with logits[i] >= threshold, ascending; returns how many there are and writes at most `capacity`.
template <class S>
static inline int at_least(const float* logits, int count, float threshold, int32_t* indices, int capacity) {
    const typename S::F32 bound = S::set1(threshold);
    int found = 0;
    for (int i = 0; i < count; i += S::lanes) {
        const int rest = count - i < S::lanes ? count - i : S::lanes;
        uint32_t bits = S::mask_bits(S::greater_equal(S::load_first(logits + i, rest), bound));
        bits &= (1u << rest) - 1u;
        for (; bits != 0; bits &= bits - 1, ++found)
            if (found < capacity) indices[found] = i + __builtin_ctz(bits);
    }
    return found;
}

}    // namespace candlewick
