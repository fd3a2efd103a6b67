// Products of a quantised matrix with int8 activations: the tiles of tokens that meet its panels, and in what order.
//
// For one row, record_product.h multiplies record after record, in ascending order of k. So the result depends on nothing
// but the weights and the row's own activations: any tile of tokens, any number of threads and any instruction set give
// the same bits.
#pragma once

#include "formats/panel_layout.h"
#include "ops/linear_results.h"
#include "ops/linear_task.h"
#include "ops/record_product.h"

namespace candlewick {

// Where there are several tiles of tokens, a block of panels meets them chunk by chunk of k: the chunk of the panels stays
// in the second-level cache while all tiles pass, and a tile's activations in the first while all panels pass. Shorter
// chunks, whose panels would stay in the first as well, were slower: sums go to the scratch and come back more often.
constexpr int super_blocks_per_chunk = 8;

template <class S, class Panel, int T, bool Prefetch>
static void multiply_tile(const LinearTask& task, const uint8_t* panel, int token, int first, int last,
                          size_t distance, float* partial) {
    typename S::F32 acc[T];
    for (int t = 0; t < T; ++t) acc[t] = first == 0 ? S::zero() : S::load(partial + 16 * t);
    const size_t stride = size_t(task.input_tokens) * activation_record_bytes;
    const uint8_t* input = task.input + size_t(first) * stride + size_t(token) * activation_record_bytes;
    if constexpr (Panel::k_family) {
        const uint8_t* record = panel + size_t(first) * Panel::record_bytes;
        for (int s = first; s < last; ++s, record += Panel::record_bytes, input += stride)
            multiply_record_super<S, Panel, T, Prefetch>(record, input, acc, record + distance);
    } else {
        const int num_blocks = task.columns / 32;
        const uint8_t* record = panel + size_t(first) * 8 * Panel::record_bytes;
        for (int s = first; s < last; ++s, input += stride) {
            const int blocks = num_blocks - 8 * s < 8 ? num_blocks - 8 * s : 8;
            for (int block = 0; block < blocks; ++block, record += Panel::record_bytes)
                multiply_record_block<S, Panel, T, Prefetch>(record, input, block, acc, record + distance);
        }
    }
    for (int t = 0; t < T; ++t) S::store(partial + 16 * t, acc[t]);
}

template <class S, class Panel, int T, bool Prefetch>
static void multiply_tile_of(int tokens, const LinearTask& task, const uint8_t* panel, int token, int first, int last,
                             size_t distance, float* partial) {
    if constexpr (T > 1)
        if (tokens < T)
            return multiply_tile_of<S, Panel, T - 1, Prefetch>(tokens, task, panel, token, first, last, distance,
                                                               partial);
    multiply_tile<S, Panel, T, Prefetch>(task, panel, token, first, last, distance, partial);
}

template <class S, class Panel>
static void multiply_one_tile(const LinearTask& task, int super_blocks) {
    for (int p = task.first_panel; p < task.first_panel + task.num_panels; ++p) {
        const uint8_t* panel = task.panels + size_t(p) * task.panel_bytes;
        // Halves of a panel share its bytes while they are near.
        const int chunk = S::num_linear_parts == 1 ? super_blocks : super_blocks_per_chunk;
        for (int first = 0; first < super_blocks; first += chunk) {
            const int last = first + chunk < super_blocks ? first + chunk : super_blocks;
            S::for_each_linear_part([&]<class Part>() {
                multiply_tile_of<Part, Panel, S::max_linear_tile, true>(task.num_tokens, task, panel, task.first_token,
                                                                        first, last, prefetch_distance, task.scratch);
            });
        }
        write_results<S>(task, p, task.scratch);
    }
}

template <class S, class Panel>
static void multiply_tiles(const LinearTask& task, int super_blocks, int tiles) {
    constexpr size_t chunk_bytes = size_t(super_blocks_per_chunk) * (super_block / Panel::block) * Panel::record_bytes;
    const size_t panel_results = 16 * size_t(task.num_tokens);
    const int end_panel = task.first_panel + task.num_panels;
    for (int begin_panel = task.first_panel; begin_panel < end_panel; begin_panel += panels_per_block) {
        const int panels = end_panel - begin_panel < panels_per_block ? end_panel - begin_panel : panels_per_block;
        for (int first = 0; first < super_blocks; first += super_blocks_per_chunk) {
            const int last = first + super_blocks_per_chunk < super_blocks ? first + super_blocks_per_chunk : super_blocks;
            S::for_each_linear_part([&]<class Part>() {
                for (int i = 0; i < tiles; ++i) {    // tiles as equal as they can be
                    const int begin = int(int64_t(task.num_tokens) * i / tiles);
                    const int end = int(int64_t(task.num_tokens) * (i + 1) / tiles);
                    const auto multiply = i == 0 ? multiply_tile_of<Part, Panel, S::max_linear_tile, true>
                                                 : multiply_tile_of<Part, Panel, S::max_linear_tile, false>;
                    for (int p = 0; p < panels; ++p)
                        multiply(end - begin, task, task.panels + size_t(begin_panel + p) * task.panel_bytes,
                                 task.first_token + begin, first, last, chunk_bytes,
                                 task.scratch + size_t(p) * panel_results + 16 * size_t(begin));
                }
            });
        }
        for (int p = 0; p < panels; ++p)
            write_results<S>(task, begin_panel + p, task.scratch + size_t(p) * panel_results);
    }
}

template <class S, TensorType Type>
static void linear_quantised(const LinearTask& task) {
    using Panel = PanelOf<Type>;
    const int super_blocks = (task.columns + super_block - 1) / super_block;
    const int tiles = (task.num_tokens + S::max_linear_tile - 1) / S::max_linear_tile;
    if (tiles == 1)
        multiply_one_tile<S, Panel>(task, super_blocks);
    else
        multiply_tiles<S, Panel>(task, super_blocks, tiles);
}

}    // namespace candlewick
