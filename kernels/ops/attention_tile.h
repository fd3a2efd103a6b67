// The two matrix products of attention, for a tile of rows and one group of 64 keys: queries times keys, and
// probabilities times values.
#pragma once

#include <cstdint>
#include <type_traits>

#include "ops/attention_task.h"

namespace candlewick {

using Half = uint16_t;

template <class S>
static inline typename S::F32 load_elements(const float* p) {
    return S::load(p);
}
template <class S>
static inline typename S::F32 load_elements(const Half* p) {
    return S::load_half(p);
}
template <class S>
static inline typename S::F32 load_elements(const int8_t* p) {
    return S::to_float(S::widen_signed(p));
}
template <class S>
static inline typename S::F32 load_elements(const float* p, int count) {
    return S::load_first(p, count);
}
template <class S>
static inline typename S::F32 load_elements(const Half* p, int count) {
    return S::load_half_first(p, count);
}
template <class S>
static inline typename S::F32 load_elements(const int8_t* p, int count) {
    int8_t whole[S::lanes] = {};
    for (int i = 0; i < count; ++i) whole[i] = p[i];
    return load_elements<S>(whole);
}
template <class S>
static inline void store_elements(float* p, typename S::F32 a, int count) {
    S::store_first(p, a, count);
}
// Numbers beyond the range of halves become the largest one; NaN stays NaN.
template <class S>
static inline void store_elements(Half* p, typename S::F32 a, int count) {
    const float largest = 65504.0f;
    S::store_half_first(p, S::max(S::set1(-largest), S::min(S::set1(largest), a)), count);
}

// Keys first … end - 1 of a group.
struct KeyRange {
    int first, end;
};
static inline bool is_empty(KeyRange range) { return range.first >= range.end; }

// Elements of a block and head, from its first key to the next one's.
template <class Element>
static inline size_t kv_block_elements(int head_dim) {
    const size_t scale_bytes = std::is_same_v<Element, int8_t> ? block_size * sizeof(float) : 0;
    return size_t(head_dim) * block_size + scale_bytes;
}

// One group of 64 keys as a list of its blocks; those that no row of the batch sees are null. `Stored` tells whether the
// elements come straight from the cache: then what is needed next is fetched ahead. `Scaled` tells whether the elements of
// a position have a common factor, which is applied to sums of products, not to elements.
template <class S, class Element, bool Stored, bool Scaled>
struct KvGroup {
    static constexpr bool scaled = Scaled;
    int start;       // position of the group's first key
    int head_dim;
    const Element* keys[attention_group_blocks] = {};         // [head_dim][16]
    const Element* values[attention_group_blocks] = {};       // [16][head_dim]
    const Element* next_keys[attention_group_blocks] = {};    // of the next group; these keys where it has none
    const float* key_scales[attention_group_blocks] = {};      // [16]
    const float* value_scales[attention_group_blocks] = {};    // [16]

    KvGroup(int position, int dim) : start(position), head_dim(dim) {}

    // Positions first … end - 1 are needed of all groups together.
    KvGroup(const AttentionTask& task, int position, int first, int end) : KvGroup(position, task.cache.head_dim) {
        const size_t size = kv_block_elements<Element>(head_dim);
        for (int place = 0; place < attention_group_blocks; ++place) {
            const int block = start / block_size + place;
            if ((block + 1) * block_size <= first || block * block_size >= end) continue;
            const auto offset = [&](int b) {
                return (size_t(task.block_table[b]) * size_t(task.cache.num_kv_heads) + size_t(task.kv_head)) * size;
            };
            keys[place] = static_cast<const Element*>(task.cache.keys) + offset(block);
            values[place] = static_cast<const Element*>(task.cache.values) + offset(block);
            const int next = block + attention_group_blocks;
            next_keys[place] = next * block_size < end
                                   ? static_cast<const Element*>(task.cache.keys) + offset(next)
                                   : keys[place];
            if constexpr (Scaled) {
                key_scales[place] = reinterpret_cast<const float*>(keys[place] + head_dim * block_size);
                value_scales[place] = reinterpret_cast<const float*>(values[place] + head_dim * block_size);
            }
        }
    }

    // What a row that sees the positions first … end - 1 sees of this group.
    KeyRange visible(int first, int end) const {
        first -= start;
        end -= start;
        return {first > 0 ? first : 0, end < attention_group_keys ? end : attention_group_keys};
    }
};

// The same group with all elements as floats.
template <class S, class Element, bool Scaled>
static inline KvGroup<S, float, false, Scaled> converted(const KvGroup<S, Element, true, Scaled>& group, float* keys,
                                                         float* values) {
    KvGroup<S, float, false, Scaled> out(group.start, group.head_dim);
    const int size = group.head_dim * block_size;
    for (int block = 0; block < attention_group_blocks; ++block) {
        if (group.keys[block] == nullptr) continue;
        out.keys[block] = keys + block * size;
        out.values[block] = values + block * size;
        out.key_scales[block] = group.key_scales[block];
        out.value_scales[block] = group.value_scales[block];
        for (int i = 0; i < size; i += S::lanes) {
            S::store(keys + block * size + i, load_elements<S>(group.keys[block] + i));
            S::store(values + block * size + i, load_elements<S>(group.values[block] + i));
        }
    }
    return out;
}

template <int N>
struct RowCount {
    static constexpr int value = N;
};

// Call function(RowCount<rows>()), for 1 <= rows <= Most.
template <int Most, class Function>
static inline void with_row_count(int rows, Function function) {
    if (rows == Most) {
        function(RowCount<Most>());
    } else if constexpr (Most > 1) {
        with_row_count<Most - 1>(rows, function);
    }
}

// Elements in a cache line: what one prefetch brings.
template <class Element>
constexpr int line_elements = 64 / int(sizeof(Element));

// Scores of `Rows` queries and the keys of `Blocks` blocks from number `block` on, before scaling.
template <class S, int Rows, int Blocks, class Element, bool Stored, bool Scaled>
static inline void score_blocks(const float* queries, const KvGroup<S, Element, Stored, Scaled>& group, int block,
                                float* scores) {
    using F32 = typename S::F32;
    const Element* const* keys = group.keys + block;
    const Element* const* ahead = group.values + block;
    const int head_dim = group.head_dim;
    scores += block * block_size;
    F32 sum[Rows][Blocks];
    for (int r = 0; r < Rows; ++r)
        for (int b = 0; b < Blocks; ++b) sum[r][b] = S::zero();
    for (int d = 0; d < head_dim; ++d) {
        F32 key[Blocks];
        for (int b = 0; b < Blocks; ++b) key[b] = load_elements<S>(keys[b] + d * block_size);
        if (Stored && d * block_size % line_elements<Element> == 0)
            for (int b = 0; b < Blocks; ++b) S::prefetch(ahead[b] + d * block_size);
        for (int r = 0; r < Rows; ++r) {
            const F32 query = S::set1(queries[d * S::max_attention_rows + r]);
            for (int b = 0; b < Blocks; ++b) sum[r][b] = S::fma(query, key[b], sum[r][b]);
        }
    }
    if constexpr (Scaled)
        for (int b = 0; b < Blocks; ++b) {
            const F32 scales = S::load(group.key_scales[block + b]);
            for (int r = 0; r < Rows; ++r) sum[r][b] = S::mul(sum[r][b], scales);
        }
    for (int r = 0; r < Rows; ++r)
        for (int b = 0; b < Blocks; ++b) S::store(scores + r * attention_group_keys + b * block_size, sum[r][b]);
}

// Scores of a tile for all blocks of the group that hold keys of `range`.
template <class S, int Rows, class Group>
static inline void score_tile(const float* queries, const Group& group, KeyRange range, float* scores) {
    const int end = (range.end + block_size - 1) / block_size;
    int block = range.first / block_size;
    for (; block + S::attention_vectors <= end; block += S::attention_vectors)
        score_blocks<S, Rows, S::attention_vectors>(queries, group, block, scores);
    for (; block < end; ++block) score_blocks<S, Rows, 1>(queries, group, block, scores);
}

// out[r] += probabilities[r] * values over the keys of `range`, for `Rows` rows and `Vectors` vectors of columns; only
// `count` of the last vector's columns exist.
template <class S, int Rows, int Vectors, bool Whole, class Element, bool Stored, bool Scaled>
static inline void weigh_columns(const float* probabilities, const KvGroup<S, Element, Stored, Scaled>& group,
                                 KeyRange range, int column, int count, float* out, int out_stride) {
    using F32 = typename S::F32;
    F32 sum[Rows][Vectors];
    for (int r = 0; r < Rows; ++r)
        for (int v = 0; v < Vectors; ++v) sum[r][v] = S::load(out + r * out_stride + column + v * S::lanes);
    for (int key = range.first; key < range.end;) {
        const int block = key / block_size;
        const int end = range.end < (block + 1) * block_size ? range.end : (block + 1) * block_size;
        int offset = key % block_size * group.head_dim + column;
        for (; key < end; ++key, offset += group.head_dim) {
            F32 value[Vectors];
            for (int v = 0; v < Vectors; ++v) {
                const Element* from = group.values[block] + offset + v * S::lanes;
                if constexpr (Whole)
                    value[v] = load_elements<S>(from);
                else
                    value[v] = load_elements<S>(from, count);
            }
            if constexpr (Stored)
                for (int i = 0; i < Vectors * S::lanes; i += line_elements<Element>)
                    S::prefetch(group.next_keys[block] + offset + i);
            for (int r = 0; r < Rows; ++r) {
                float weight = probabilities[r * attention_group_keys + key];
                if constexpr (Scaled) weight *= group.value_scales[block][key % block_size];
                const F32 probability = S::set1(weight);
                for (int v = 0; v < Vectors; ++v) sum[r][v] = S::fma(probability, value[v], sum[r][v]);
            }
        }
    }
    for (int r = 0; r < Rows; ++r)
        for (int v = 0; v < Vectors; ++v) S::store(out + r * out_stride + column + v * S::lanes, sum[r][v]);
}

template <class S, int Rows, class Group>
static inline void weigh_rows(const float* probabilities, const Group& group, KeyRange range, float* out,
                              int out_stride) {
    constexpr int step = S::attention_vectors * S::lanes;
    int column = 0;
    for (; column + step <= group.head_dim; column += step)
        weigh_columns<S, Rows, S::attention_vectors, true>(probabilities, group, range, column, S::lanes, out,
                                                           out_stride);
    for (; column + S::lanes <= group.head_dim; column += S::lanes)
        weigh_columns<S, Rows, 1, true>(probabilities, group, range, column, S::lanes, out, out_stride);
    if (const int count = group.head_dim - column; count > 0)
        weigh_columns<S, Rows, 1, false>(probabilities, group, range, column, count, out, out_stride);
}

// Each row of the tile over its own range. What all rows see is done for all of them at once, the few keys before and
// behind it row by row: a row never meets a value that it may not see.
template <class S, class Group>
static inline void weigh_tile(const float* probabilities, const Group& group, const KeyRange* ranges, int rows,
                              float* out, int out_stride) {
    KeyRange common{ranges[rows - 1].first, ranges[0].end};
    if (is_empty(common)) common = {ranges[0].end, ranges[0].end};
    const auto each_row = [&](auto part) {
        for (int r = 0; r < rows; ++r) {
            const KeyRange range = part(ranges[r]);
            if (!is_empty(range))
                weigh_rows<S, 1>(probabilities + r * attention_group_keys, group, range, out + r * out_stride,
                                 out_stride);
        }
    };
    each_row([&](KeyRange range) { return KeyRange{range.first, common.first < range.end ? common.first : range.end}; });
    if (!is_empty(common))
        with_row_count<S::max_attention_rows>(rows, [&](auto row_count) {
            weigh_rows<S, decltype(row_count)::value>(probabilities, group, common, out, out_stride);
        });
    each_row([&](KeyRange range) { return KeyRange{common.end > range.first ? common.end : range.first, range.end}; });
}

}    // namespace candlewick
