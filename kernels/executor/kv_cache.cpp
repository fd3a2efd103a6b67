#include "executor/kv_cache.h"

#include <stdexcept>

namespace candlewick {

KvCache::KvCache(int num_layers, int num_blocks, int num_kv_heads, int head_dim, CacheType type)
    : num_blocks_(num_blocks), num_kv_heads_(num_kv_heads), head_dim_(head_dim), type_(type) {
    if (num_layers < 1 || num_blocks < 1 || num_kv_heads < 1 || head_dim < 1)
        throw std::invalid_argument("a KV cache needs at least one layer, block, head and dimension");
    const size_t element_bytes = type == CacheType::f16 ? 2 : 4;
    half_bytes_ = size_t(num_blocks) * size_t(num_kv_heads) * size_t(head_dim) * block_size * element_bytes;
    half_bytes_ = (half_bytes_ + 63) / 64 * 64;
    for (int layer = 0; layer < num_layers; ++layer) layers_.push_back(allocate(2 * half_bytes_));
}

}    // namespace candlewick
