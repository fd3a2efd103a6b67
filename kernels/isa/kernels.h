// The table of functions that one instruction set provides; everything above the kernels calls through it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "formats/panel_layout.h"
#include "ops/attention_task.h"
#include "ops/linear_task.h"

namespace candlewick {

struct Kernels {
    const char* name;

    // ops/norm.h: out[i] = x[i] / sqrt(mean of squares of its group + epsilon) * weight[i % group], for one row.
    void (*rms_norm)(const float* x, const float* weight, float* out, int columns, int group, float epsilon);
    // ops/rope.h: rotate, in place, the first 2 * num_angles columns of each head of one row.
    void (*rope)(float* x, const float* cosine, const float* sine, int num_heads, int head_dim, int num_angles,
                 bool interleaved);
    // ops/activation.h
    void (*silu_multiply)(const float* gate, const float* up, float* out, int columns);
    void (*add)(const float* x, const float* y, float* out, int columns);

    // ops/attention.h, one pair an element type of the cache (CacheType is the index).
    struct Attention {
        void (*write)(const KvWriteTask&);
        void (*attend)(const AttentionTask&);
    } attention[num_cache_types];

    // ops/logits.h: what sampling needs of a row of logits.
    struct Logits {
        float (*maximum)(const float* logits, int count);                                   // NaN is skipped
        // Sum over i of exp((logits[i] - maximum) * inverse_temperature), in a fixed order.
        double (*sum_exp)(const float* logits, int count, float maximum, float inverse_temperature);
        // Indices with logits[i] >= threshold, ascending; returns how many there are, writes at most `capacity`.
        int (*at_least)(const float* logits, int count, float threshold, int32_t* indices, int capacity);
    } logits;

    // ops/quantize.h
    void (*quantize)(const float* x, int columns, ActivationKind kind, uint8_t* out, size_t super_block_stride);
    // ops/linear_integer.h and ops/linear_float.h
    void (*linear)(const LinearTask&);
    // The most activations, of a group of tokens, that `linear` wants to get at once for a quantised matrix.
    size_t group_bytes;
    // ops/limits.h: how fast this processor could be at most
    int64_t (*multiply_registers)(int rounds);
    int32_t (*read_memory)(const uint8_t* bytes, size_t count);
};

// What this CPU can run, best first; the last one is the scalar specification. Ends with nullptr.
const Kernels* const* available_kernels();

// The kernels of that name, or nullptr; an empty name means the best.
const Kernels* find_kernels(const char* name);

}    // namespace candlewick
