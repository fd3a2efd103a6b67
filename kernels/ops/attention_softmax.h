// One step of the running softmax: one row, one group of 64 keys.
#pragma once

#include "ops/attention_tile.h"
#include "ops/math.h"

namespace candlewick {

// Turn the row's scores of this group into probabilities relative to the highest score so far, and bring what was
// summed before (`sums`, 16 lanes, and `out`) to the same scale. Keys outside `range` get probability zero.
template <class S>
static inline void softmax_step(float* scores, KeyRange range, float scale, float* maximum, float* sums, float* out,
                                int padded_dim) {
    using F32 = typename S::F32;
    const F32 lowest = S::set1(-__builtin_inff());
    const int first_block = range.first / block_size;
    const int end_block = (range.end + block_size - 1) / block_size;

    F32 scaled[attention_group_blocks];
    F32 highest = S::set1(*maximum);
    for (int block = first_block; block < end_block; ++block) {
        F32 score = S::mul(S::load(scores + block * block_size), S::set1(scale));
        const int hidden_before = range.first - block * block_size;
        const int seen = range.end - block * block_size;
        if (hidden_before > 0) score = S::select(S::first(hidden_before), lowest, score);
        if (seen < block_size) score = S::select(S::first(seen), score, lowest);
        scaled[block] = score;
        highest = S::max(score, highest);
    }
    const float before = *maximum;
    *maximum = S::max_lane(highest);
    const F32 top = S::set1(*maximum);

    F32 sum = S::load(sums);
    if (*maximum != before) {
        const F32 factor = exp<S>(S::sub(S::set1(before), top));
        sum = S::mul(sum, factor);
        for (int d = 0; d < padded_dim; d += S::lanes) S::store(out + d, S::mul(S::load(out + d), factor));
    }
    for (int block = first_block; block < end_block; ++block) {
        const F32 probability = exp<S>(S::sub(scaled[block], top));
        sum = S::add(sum, probability);
        S::store(scores + block * block_size, probability);
    }
    S::store(sums, sum);
}

}    // namespace candlewick
