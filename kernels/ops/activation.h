// Elementwise operations of one row; `out` may be either operand.
#pragma once

#include "ops/math.h"

namespace candlewick {

template <class S, class Function>
static inline void for_each_pair(const float* x, const float* y, float* out, int columns, Function function) {
    const int whole = columns - columns % S::lanes;
    for (int i = 0; i < whole; i += S::lanes) S::store(out + i, function(S::load(x + i), S::load(y + i)));
    if (const int rest = columns - whole; rest > 0)
        S::store_first(out + whole, function(S::load_first(x + whole, rest), S::load_first(y + whole, rest)), rest);
}

// out = silu(gate) * up (SwiGLU, Shazeer 2020, https://arxiv.org/abs/2002.05202).
template <class S>
static inline void silu_multiply(const float* gate, const float* up, float* out, int columns) {
    for_each_pair<S>(gate, up, out, columns,
                     [](typename S::F32 g, typename S::F32 u) { return S::mul(silu<S>(g), u); });
}

template <class S>
static inline void add(const float* x, const float* y, float* out, int columns) {
    for_each_pair<S>(x, y, out, columns, [](typename S::F32 a, typename S::F32 b) { return S::add(a, b); });
}

}    // namespace candlewick
