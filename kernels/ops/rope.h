// Rotary position embedding (Su et al. 2021, https://arxiv.org/abs/2104.09864): the angles, and the rotation of a row.
#pragma once

#include <cmath>

namespace candlewick {

// cosine[i] and sine[i] of position * inverse_frequencies[i], times `scale` (YaRN's attention factor, 1 otherwise).
// In double, because positions of a hundred thousand would cost a float its last digits.
static inline void rope_angles(double position, const double* inverse_frequencies, int count, double scale,
                               float* cosine, float* sine) {
    for (int i = 0; i < count; ++i) {
        const double angle = position * inverse_frequencies[i];
        cosine[i] = float(std::cos(angle) * scale);
        sine[i] = float(std::sin(angle) * scale);
    }
}

// The columns i and i + num_angles of one head are a pair.
template <class S>
static inline void rotate_halves(float* head, const float* cosine, const float* sine, int num_angles) {
    using F32 = typename S::F32;
    float* second_half = head + num_angles;
    for (int i = 0; i < num_angles; i += S::lanes) {
        const int count = num_angles - i < S::lanes ? num_angles - i : S::lanes;
        const F32 first = S::load_first(head + i, count);
        const F32 second = S::load_first(second_half + i, count);
        const F32 c = S::load_first(cosine + i, count);
        const F32 s = S::load_first(sine + i, count);
        S::store_first(head + i, S::fnma(second, s, S::mul(first, c)), count);
        S::store_first(second_half + i, S::fma(first, s, S::mul(second, c)), count);
    }
}

// The columns 2i and 2i + 1 of one head are a pair.
template <class S>
static inline void rotate_neighbours(float* head, const float* cosine, const float* sine, int num_angles) {
    using F32 = typename S::F32;
    static constexpr float alternating[16] = {-1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1};
    const F32 sign = S::load(alternating);
    constexpr int pairs = S::lanes / 2;
    for (int i = 0; i < num_angles; i += pairs) {
        const int count = num_angles - i < pairs ? num_angles - i : pairs;
        const F32 x = S::load_first(head + 2 * i, 2 * count);
        const F32 c = S::load_twice(cosine + i, count);
        const F32 s = S::mul(S::load_twice(sine + i, count), sign);
        S::store_first(head + 2 * i, S::fma(S::swap_pairs(x), s, S::mul(x, c)), 2 * count);
    }
}

// Rotate, in place, the first 2 * num_angles columns of each head of one row. Interleaved pairs are neighbours (2i,
// 2i + 1), others stand half the rotated columns apart (i, i + num_angles).
template <class S>
static inline void rope(float* x, const float* cosine, const float* sine, int num_heads, int head_dim, int num_angles,
                        bool interleaved) {
    for (int head = 0; head < num_heads; ++head) {
        float* columns = x + head * head_dim;
        if (interleaved)
            rotate_neighbours<S>(columns, cosine, sine, num_angles);
        else
            rotate_halves<S>(columns, cosine, sine, num_angles);
    }
}

}    // namespace candlewick
