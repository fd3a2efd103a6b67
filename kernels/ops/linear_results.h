// The end of every matrix product: from the scratch of a thread to the rows of the result.
#pragma once

#include "ops/linear_task.h"

namespace candlewick {

// Moves 16 results a token from `results` to their places, adding the bias.
template <class S>
static void write_results(const LinearTask& task, int panel, const float* results) {
    const int row = panel * panel_rows;
    const int count = task.rows - row < panel_rows ? task.rows - row : panel_rows;
    const typename S::F32 bias = task.bias ? S::load_first(task.bias + row, count) : S::zero();
    for (int t = 0; t < task.num_tokens; ++t) {
        typename S::F32 value = S::load(results + 16 * t);
        if (task.bias) value = S::add(value, bias);
        float* out = task.out + size_t(task.first_token + t) * task.out_stride + row;
        if (count == panel_rows)
            S::store(out, value);
        else
            S::store_first(out, value, count);
    }
}

}    // namespace candlewick
