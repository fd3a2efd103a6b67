// Root mean square normalisation of one row (Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467).
#pragma once

namespace candlewick {

// out[i] = x[i] / sqrt(mean of squares of its group + epsilon) * weight[i % group]. `group` divides `columns`; out may
// be x.
template <class S>
static inline void rms_norm(const float* x, const float* weight, float* out, int columns, int group, float epsilon) {
    using F32 = typename S::F32;
    const int whole = group - group % S::lanes;
    const int rest = group - whole;
    for (int start = 0; start < columns; start += group) {
        const float* from = x + start;
        float* to = out + start;
        F32 squares = S::zero();
        for (int i = 0; i < whole; i += S::lanes) {
            const F32 value = S::load(from + i);
            squares = S::fma(value, value, squares);
        }
        if (rest > 0) {
            const F32 value = S::load_first(from + whole, rest);
            squares = S::fma(value, value, squares);
        }
        const float mean = S::sum(squares) / float(group);
        const F32 scale = S::set1(1.0f / __builtin_sqrtf(mean + epsilon));
        for (int i = 0; i < whole; i += S::lanes)
            S::store(to + i, S::mul(S::mul(S::load(from + i), scale), S::load(weight + i)));
        if (rest > 0) {
            const F32 scaled = S::mul(S::load_first(from + whole, rest), scale);
            S::store_first(to + whole, S::mul(scaled, S::load_first(weight + whole, rest)), rest);
        }
    }
}

}    // namespace candlewick
