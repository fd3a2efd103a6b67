// The block pool: it stores keys and values and knows nothing of who owns which block.
#pragma once

#include <vector>

#include "executor/memory.h"
#include "ops/attention_task.h"

namespace candlewick {

class KvCache {
  public:
    KvCache(int num_layers, int num_blocks, int num_kv_heads, int head_dim, CacheType type);
    KvCache(const KvCache&) = delete;
    KvCache& operator=(const KvCache&) = delete;

    int num_layers() const { return int(layers_.size()); }
    int num_blocks() const { return num_blocks_; }
    int num_kv_heads() const { return num_kv_heads_; }
    int head_dim() const { return head_dim_; }
    CacheType type() const { return type_; }
    size_t num_bytes() const { return layers_.size() * 2 * half_bytes_; }
    // The keys and values of one block in all layers, as they are stored: block_bytes() bytes.
    size_t block_bytes() const { return layers_.size() * 2 * part_bytes_; }
    void read_block(int block, std::byte* out) const;
    void write_block(int block, const std::byte* in);
    KvCacheView view(int layer) const {
        std::byte* keys = layers_[size_t(layer)].get();
        return {keys, keys + half_bytes_, num_kv_heads_, head_dim_};
    }

  private:
    int num_blocks_;
    int num_kv_heads_;
    int head_dim_;
    CacheType type_;
    size_t part_bytes_;    // of a block's keys in one layer, and of its values
    size_t half_bytes_;    // of a layer's keys, and of its values
    std::vector<Memory> layers_;
};

}    // namespace candlewick
