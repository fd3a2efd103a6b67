// Products of a float matrix (F32, F16, BF16) with float rows: one fma chain a result, k ascending.
#pragma once

#include "ops/linear_results.h"
#include "ops/linear_task.h"

namespace candlewick {

template <class S, TensorType Type>
static inline typename S::F32 load_weights(const uint8_t* panel, int k) {
    if constexpr (Type == TensorType::f32)
        return S::load(reinterpret_cast<const float*>(panel) + size_t(k) * panel_rows);
    else if constexpr (Type == TensorType::f16)
        return S::load_half(reinterpret_cast<const uint16_t*>(panel) + size_t(k) * panel_rows);
    else
        return S::load_bfloat(reinterpret_cast<const uint16_t*>(panel) + size_t(k) * panel_rows);
}

template <class S, TensorType Type, int T>
static void multiply_float_tile(const LinearTask& task, const uint8_t* panel, int token, float* results) {
    const float* x[T];
    typename S::F32 acc[T];
    for (int t = 0; t < T; ++t) {
        x[t] = reinterpret_cast<const float*>(task.input) + size_t(token + t) * size_t(task.columns);
        acc[t] = S::zero();
    }
    for (int k = 0; k < task.columns; ++k) {
        const typename S::F32 w = load_weights<S, Type>(panel, k);
        for (int t = 0; t < T; ++t) acc[t] = S::fma(w, S::set1(x[t][k]), acc[t]);
    }
    for (int t = 0; t < T; ++t) S::store(results + 16 * t, acc[t]);
}

template <class S, TensorType Type, int T = 2 * S::max_linear_tile>
static void multiply_float_tile_of(int tokens, const LinearTask& task, const uint8_t* panel, int token,
                                   float* results) {
    if constexpr (T > 1)
        if (tokens < T) return multiply_float_tile_of<S, Type, T - 1>(tokens, task, panel, token, results);
    multiply_float_tile<S, Type, T>(task, panel, token, results);
}

template <class S, TensorType Type>
static void linear_float(const LinearTask& task) {
    constexpr int tile = 2 * S::max_linear_tile;
    for (int p = task.first_panel; p < task.first_panel + task.num_panels; ++p) {
        const uint8_t* panel = task.panels + size_t(p) * task.panel_bytes;
        for (int begin = 0; begin < task.num_tokens; begin += tile) {
            const int tokens = task.num_tokens - begin < tile ? task.num_tokens - begin : tile;
            multiply_float_tile_of<S, Type>(tokens, task, panel, task.first_token + begin, task.scratch + 16 * begin);
        }
        write_results<S>(task, p, task.scratch);
    }
}

}    // namespace candlewick
