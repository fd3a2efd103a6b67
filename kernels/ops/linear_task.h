// What a matrix product kernel is asked to do: some panels of one matrix times some tokens.
#pragma once

#include <cstddef>
#include <cstdint>

#include "formats/panel_layout.h"

namespace candlewick {

constexpr int most_tile_tokens = 16;
// Float matrices: every panel walks through all activations of a group of tokens, which stay in the second-level cache.
constexpr size_t cached_group_bytes = 640 << 10;
constexpr int panels_per_block = 4;    // that meet a tile of tokens one after the other
// How far ahead of the weights in use they are prefetched, in bytes, where there is one tile. Where there are several, the
// first one fetches the next chunk.
constexpr size_t prefetch_distance = 7168;

constexpr size_t linear_scratch_floats(int num_tokens) {
    return size_t(num_tokens) * panel_rows * panels_per_block;
}

struct LinearTask {
    TensorType type;
    const uint8_t* panels;    // the matrix
    size_t panel_bytes;
    int rows;                 // output features of the whole matrix
    int columns;              // k
    int first_panel;
    int num_panels;

    // Quantised input: the record of super-block s and token t is at input + (s * input_tokens + t) * record bytes.
    // Float input: token t's row is at reinterpret_cast<const float*>(input) + t * columns.
    const uint8_t* input;
    int input_tokens;
    int first_token;
    int num_tokens;

    const float* bias;        // [rows] or nullptr
    float* out;               // token t's row at out + t * out_stride
    size_t out_stride;
    float* scratch;           // linear_scratch_floats(num_tokens) floats of this thread
};

}    // namespace candlewick
