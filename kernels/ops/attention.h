// Causal attention over the paged cache, with the softmax computed as the keys go by (Milakov and Gimelshein 2018,
// https://arxiv.org/abs/1805.02867).
//
// A row is one query head of one token. Whatever else is computed with it, a row is computed in this order: groups of
// 64 keys, aligned at multiples of 64 positions, ascending; in each, scores by fused multiply-adds over ascending
// dimensions, one maximum, and outputs by fused multiply-adds over ascending keys. So prefill and decode agree bit for
// bit, and so do all instruction sets.
//
// Keys that a row may not see have probability zero and their values are never read for that row: whatever stands in
// slots that nobody has written yet, NaN included, does no harm.
#pragma once

#include <cstdint>

#include "ops/attention_softmax.h"
#include "ops/attention_task.h"
#include "ops/attention_tile.h"

namespace candlewick {

// Where the parts of the scratch memory stand. A batch of rows is cut into tiles; a tile's queries are stored
// transposed, [head_dim][max_attention_rows], because its rows are multiplied by the same key element at once.
template <class S>
struct AttentionScratch {
    static constexpr int tile_rows = S::max_attention_rows;
    static_assert(attention_batch_rows % tile_rows == 0);

    int padded_dim;
    float* keys;       // [4 blocks][head_dim][16]
    float* values;     // [4 blocks][16][head_dim]
    float* queries;    // [tiles][head_dim][tile_rows]
    float* out;        // [rows][padded_dim], not divided by the sum of probabilities yet
    float* sums;       // [rows][16]: the sum of probabilities, lane by lane
    float* scores;     // [rows][64], then probabilities
    float* maxima;     // [rows]

    AttentionScratch(float* memory, int head_dim) : padded_dim(attention_padded_dim(head_dim)) {
        const uintptr_t bytes = attention_scratch_alignment * sizeof(float);
        const uintptr_t address = (reinterpret_cast<uintptr_t>(memory) + bytes - 1) / bytes * bytes;
        keys = reinterpret_cast<float*>(address);
        values = keys + attention_group_keys * padded_dim;
        queries = values + attention_group_keys * padded_dim;
        out = queries + attention_batch_rows * padded_dim;
        sums = out + attention_batch_rows * padded_dim;
        scores = sums + attention_batch_rows * S::lanes;
        maxima = scores + attention_batch_rows * attention_group_keys;
    }
};

// Consecutive rows of one task that go through the groups of keys together.
template <class S, class Element>
struct AttentionBatch {
    const AttentionTask& task;
    AttentionScratch<S> scratch;
    int first_row;    // of all rows of the task: token * group + head
    int num_rows;
    int rows_in_tile;
    int positions[attention_batch_rows];

    AttentionBatch(const AttentionTask& attention_task, int first, int count)
        : task(attention_task),
          scratch(attention_task.scratch, attention_task.cache.head_dim),
          first_row(first),
          num_rows(count) {
        const int tiles = (count + S::max_attention_rows - 1) / S::max_attention_rows;
        rows_in_tile = (count + tiles - 1) / tiles;
        for (int row = 0; row < count; ++row) positions[row] = task.first_position + (first + row) / task.group;
    }

    int first_visible(int row) const {
        const int first = positions[row] + 1 - task.window;
        return task.window > 0 && first > 0 ? first : 0;
    }
    size_t head_offset(int row, size_t stride) const {
        const int index = first_row + row;
        return size_t(index / task.group) * stride + size_t(index % task.group) * size_t(task.cache.head_dim);
    }
    float* tile_queries(int tile) const {
        return scratch.queries + size_t(tile) * size_t(task.cache.head_dim) * S::max_attention_rows;
    }

    void start() const {
        const int dim = task.cache.head_dim;
        for (int row = 0; row < num_rows; ++row) {
            const float* query = task.queries + head_offset(row, task.query_stride);
            float* transposed = tile_queries(row / rows_in_tile) + row % rows_in_tile;
            for (int d = 0; d < dim; ++d) transposed[d * S::max_attention_rows] = query[d];
            scratch.maxima[row] = -__builtin_inff();
            S::store(scratch.sums + row * S::lanes, S::zero());
            for (int d = 0; d < scratch.padded_dim; d += S::lanes)
                S::store(scratch.out + row * scratch.padded_dim + d, S::zero());
        }
    }

    void run() const {
        start();
        const int begin = first_visible(0);
        const int end = positions[num_rows - 1] + 1;
        // Every tile would convert the same halves again, and walk the same scattered pages: from the third tile on, one
        // copy for all is cheaper.
        const bool convert = num_rows > 2 * rows_in_tile;
        for (int key = begin - begin % attention_group_keys; key < end; key += attention_group_keys) {
            const KvGroup<S, Element, true, std::is_same_v<Element, int8_t>> group(task, key, begin, end);
            if (convert)
                run_group(converted<S>(group, scratch.keys, scratch.values));
            else
                run_group(group);
        }
        finish();
    }

    // All tiles meet the keys, then all meet the values: each of the two stays in the first-level cache meanwhile.
    template <class Group>
    void run_group(const Group& group) const {
        KeyRange visible[attention_batch_rows];
        for (int row = 0; row < num_rows; ++row)
            visible[row] = group.visible(first_visible(row), positions[row] + 1);
        for (int tile = 0; tile * rows_in_tile < num_rows; ++tile) {
            const RowRange rows = seeing_rows(tile, visible);
            if (rows.count == 0) continue;
            score(group, tile, rows, visible);
            for (int row = rows.first; row < rows.first + rows.count; ++row)
                softmax_step<S>(scratch.scores + row * attention_group_keys, visible[row], task.scale,
                                scratch.maxima + row, scratch.sums + row * S::lanes,
                                scratch.out + row * scratch.padded_dim, scratch.padded_dim);
        }
        for (int tile = 0; tile * rows_in_tile < num_rows; ++tile) {
            const RowRange rows = seeing_rows(tile, visible);
            if (rows.count > 0)
                weigh_tile<S>(scratch.scores + rows.first * attention_group_keys, group, visible + rows.first,
                              rows.count, scratch.out + rows.first * scratch.padded_dim, scratch.padded_dim);
        }
    }

    struct RowRange {
        int first, count;
    };
    // The rows of a tile that see anything of a group; they are consecutive, since tokens ascend.
    RowRange seeing_rows(int tile, const KeyRange* visible) const {
        int first = tile * rows_in_tile;
        int end = first + rows_in_tile < num_rows ? first + rows_in_tile : num_rows;
        while (first < end && is_empty(visible[first])) ++first;
        while (first < end && is_empty(visible[end - 1])) --end;
        return {first, end - first};
    }

    template <class Group>
    void score(const Group& group, int tile, RowRange rows, const KeyRange* visible) const {
        const float* queries = tile_queries(tile) + (rows.first - tile * rows_in_tile);
        const KeyRange range{visible[rows.first].first, visible[rows.first + rows.count - 1].end};
        float* scores = scratch.scores + rows.first * attention_group_keys;
        with_row_count<S::max_attention_rows>(rows.count, [&](auto count) {
            score_tile<S, decltype(count)::value>(queries, group, range, scores);
        });
    }

    void finish() const {
        const int dim = task.cache.head_dim;
        for (int row = 0; row < num_rows; ++row) {
            const float sum = S::sum(S::load(scratch.sums + row * S::lanes));
            const typename S::F32 inverse = S::set1(1.0f / sum);
            const float* from = scratch.out + row * scratch.padded_dim;
            float* to = task.out + head_offset(row, task.out_stride);
            for (int d = 0; d < dim; d += S::lanes) {
                const int count = dim - d < S::lanes ? dim - d : S::lanes;
                S::store_first(to + d, S::mul(S::load(from + d), inverse), count);
            }
        }
    }
};

template <class S, class Element>
static inline void attend(const AttentionTask& task) {
    const int rows = task.num_tokens * task.group;
    for (int first = 0; first < rows; first += attention_batch_rows) {
        const int count = rows - first < attention_batch_rows ? rows - first : attention_batch_rows;
        AttentionBatch<S, Element>(task, first, count).run();
    }
}

// A row as bytes and one factor: the largest magnitude becomes 127. NaN makes the factor NaN, and so the whole row.
template <class S>
struct ByteRow {
    const float* row;
    float scale;
    float inverse;

    ByteRow(const float* from, int dim) : row(from) {
        typename S::F32 largest = S::zero();
        typename S::F32 poison = S::zero();    // stays zero unless a number is NaN
        for (int d = 0; d < dim; d += S::lanes) {
            const typename S::F32 part = clamped(d, dim - d < S::lanes ? dim - d : S::lanes);
            largest = S::max(S::abs(part), largest);
            poison = S::fma(part, S::zero(), poison);
        }
        const float magnitude = S::max_lane(largest);
        const bool is_tiny = magnitude < 1e-30f;    // its inverse could overflow
        scale = (is_tiny ? 0.0f : magnitude / 127.0f) + S::sum(poison);
        inverse = is_tiny ? 0.0f : 127.0f / magnitude;
    }
    void quantise(int d, int count, int8_t* bytes) const {
        S::store_low_bytes(bytes, S::round_to_int(S::mul(clamped(d, count), S::set1(inverse))));
    }

  private:
    // Infinities become large numbers.
    typename S::F32 clamped(int d, int count) const {
        const float most = 1e30f;
        return S::max(S::set1(-most), S::min(S::set1(most), S::load_first(row + d, count)));
    }
};

static inline void store_scale(int8_t* scales, int slot, float scale) {
    reinterpret_cast<float*>(scales)[slot] = scale;
}

// Store key and value rows in the cache, keys transposed within their block.
template <class S, class Element>
static inline void write(const KvWriteTask& task) {
    const int dim = task.cache.head_dim;
    const int heads = task.cache.num_kv_heads;
    for (int t = 0; t < task.num_tokens; ++t) {
        const int position = task.first_position + t;
        const int slot = position % block_size;
        const size_t block = size_t(task.block_table[position / block_size]);
        for (int head = 0; head < heads; ++head) {
            const size_t base = (block * size_t(heads) + size_t(head)) * kv_block_elements<Element>(dim);
            Element* keys = static_cast<Element*>(task.cache.keys) + base + slot;
            Element* values = static_cast<Element*>(task.cache.values) + base + size_t(slot) * size_t(dim);
            const float* key = task.keys + size_t(t) * task.key_stride + size_t(head) * size_t(dim);
            const float* value = task.values + size_t(t) * task.value_stride + size_t(head) * size_t(dim);
            if constexpr (std::is_same_v<Element, int8_t>) {
                const ByteRow<S> key_row(key, dim), value_row(value, dim);
                store_scale(static_cast<int8_t*>(task.cache.keys) + base + dim * block_size, slot, key_row.scale);
                store_scale(static_cast<int8_t*>(task.cache.values) + base + dim * block_size, slot, value_row.scale);
                for (int d = 0; d < dim; d += S::lanes) {
                    const int count = dim - d < S::lanes ? dim - d : S::lanes;
                    int8_t bytes[S::lanes];
                    key_row.quantise(d, count, bytes);
                    for (int i = 0; i < count; ++i) keys[(d + i) * block_size] = bytes[i];
                    value_row.quantise(d, count, bytes);
                    for (int i = 0; i < count; ++i) values[d + i] = bytes[i];
                }
            } else {
                for (int d = 0; d < dim; d += S::lanes) {
                    const int count = dim - d < S::lanes ? dim - d : S::lanes;
                    Element column[S::lanes];
                    store_elements<S>(column, S::load_first(key + d, count), count);
                    for (int i = 0; i < count; ++i) keys[(d + i) * block_size] = column[i];
                    store_elements<S>(values + d, S::load_first(value + d, count), count);
                }
            }
        }
    }
}

}    // namespace candlewick
