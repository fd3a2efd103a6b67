#include "executor/kv_cache.h"

#include <cstring>
#include <stdexcept>

namespace candlewick {

KvCache::KvCache(int num_layers, int num_blocks, int num_kv_heads, int head_dim, CacheType type)
    : num_blocks_(num_blocks), num_kv_heads_(num_kv_heads), head_dim_(head_dim), type_(type) {
    if (num_layers < 1 || num_blocks < 1 || num_kv_heads < 1 || head_dim < 1)
        throw std::invalid_argument("a KV cache needs at least one layer, block, head and dimension");
    part_bytes_ = size_t(num_kv_heads) * kv_block_bytes(type, head_dim);
    half_bytes_ = (size_t(num_blocks) * part_bytes_ + 63) / 64 * 64;
    for (int layer = 0; layer < num_layers; ++layer) layers_.push_back(allocate(2 * half_bytes_));
}

void KvCache::read_block(int block, std::byte* out) const {
    for (const Memory& layer : layers_)
        for (const size_t half : {size_t(0), half_bytes_}) {
            std::memcpy(out, layer.get() + half + size_t(block) * part_bytes_, part_bytes_);
            out += part_bytes_;
        }
}

void KvCache::write_block(int block, const std::byte* in) {
    for (const Memory& layer : layers_)
        for (const size_t half : {size_t(0), half_bytes_}) {
            std::memcpy(layer.get() + half + size_t(block) * part_bytes_, in, part_bytes_);
            in += part_bytes_;
        }
}

}    // namespace candlewick
