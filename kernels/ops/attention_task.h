// What the attention kernels are asked to do: one layer's cache, one sequence, one KV head.
#pragma once

#include <cstddef>
#include <cstdint>

namespace candlewick {

enum class CacheType : int { f16 = 0, f32 = 1, q8 = 2 };
constexpr int num_cache_types = 3;

constexpr int block_size = 16;    // tokens in a KV block

// One layer's part of the block pool. Keys are stored transposed, so that 16 positions of one dimension are one vector:
// keys   [num_blocks][num_kv_heads][head_dim][block_size]
// values [num_blocks][num_kv_heads][block_size][head_dim]
// With 8 bits, the elements of a block and head are signed bytes, and behind them stand block_size floats: a number is its
// byte times the float of its position.
struct KvCacheView {
    void* keys;
    void* values;
    int num_kv_heads;
    int head_dim;
};

// Store the key and value rows of consecutive positions of one sequence, all KV heads.
struct KvWriteTask {
    KvCacheView cache;
    const float* keys;      // row t at keys + t * key_stride: [num_kv_heads][head_dim]
    const float* values;    // row t at values + t * value_stride
    size_t key_stride;
    size_t value_stride;
    const int32_t* block_table;
    int first_position;
    int num_tokens;
};

// Attend from consecutive positions of one sequence, for the query heads that share one KV head.
// Query head g of token t stands at queries + t * query_stride + g * head_dim; its result goes to the same place in out.
struct AttentionTask {
    KvCacheView cache;
    const float* queries;    // of the first token and the first query head of this KV head
    float* out;
    size_t query_stride;     // floats between tokens
    size_t out_stride;
    const int32_t* block_table;
    int kv_head;
    int group;               // query heads per KV head
    int first_position;
    int num_tokens;
    float scale;
    int window;              // each token sees at most this many last positions, itself included; 0: all
    float* scratch;          // attention_scratch_floats(head_dim) floats of this thread
};

constexpr int attention_group_blocks = 4;                                      // one softmax step covers 64 positions
constexpr int attention_group_keys = attention_group_blocks * block_size;
constexpr int attention_batch_rows = 96;    // query rows that share one conversion of keys and values
constexpr int attention_scratch_alignment = 16;

// Bytes that the keys, or the values, of one block and head take.
static constexpr size_t kv_block_bytes(CacheType type, int head_dim) {
    const size_t elements = size_t(head_dim) * block_size;
    return type == CacheType::f32 ? 4 * elements
           : type == CacheType::f16 ? 2 * elements
                                    : elements + block_size * sizeof(float);
}

static constexpr int attention_padded_dim(int head_dim) { return (head_dim + 15) / 16 * 16; }

// Room for one group's converted keys and values, and for the queries, sums and scores of a batch of rows.
static constexpr size_t attention_scratch_floats(int head_dim) {
    const size_t padded = size_t(attention_padded_dim(head_dim));
    const size_t converted = 2 * size_t(attention_group_keys) * padded;
    const size_t row = 2 * padded + 16 + attention_group_keys;
    return converted + size_t(attention_batch_rows) * (row + 1) + attention_scratch_alignment;
}

}    // namespace candlewick
