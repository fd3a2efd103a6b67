// Attention of packed dialogues, forwards and backwards.
//
// Follows FlashAttention-2 (Dao 2023, arXiv:2307.08691): scores are made again backwards instead of being kept. Blocks of
// keys that nobody in a block of queries sees are skipped, so a row costs what its dialogues would cost alone. What it
// computes is specified by `attend` in model.py.

#pragma once

#include <algorithm>
#include <cmath>

#include "tiles.h"

namespace amx {

constexpr int kHead = 64;  // columns of a head

// A block of keys that some of a block of queries sees: bit k of a query's mask says whether it sees key `first + k`.
struct Seen {
  int first;
  std::uint32_t masks[kBlock];
};

// Who sees whom in one row of `tokens`: for each block of queries the blocks of keys, the same for all layers and heads.
// `spans` [tokens, 3]: token i sees [spans[0], spans[1]) and [spans[2], i].
inline std::vector<std::vector<Seen>> seen_blocks(const int* spans, int tokens) {
  const auto bits = [](int first, int end, int start) {
    const auto below = [start](int place) {
      return static_cast<std::uint32_t>((std::uint64_t{1} << std::clamp(place - start, 0, kBlock)) - 1);
    };
    return below(end) & ~below(first);
  };
  std::vector<std::vector<Seen>> all(tokens / kBlock);
  for (int queries = 0; queries < tokens; queries += kBlock) {
    for (int first = 0; first <= queries; first += kBlock) {
      Seen block{first, {}};
      std::uint32_t any = 0;
      for (int row = 0; row < kBlock; ++row) {
        const int* own = spans + 3 * (queries + row);
        block.masks[row] = bits(own[0], own[1], first) | bits(own[2], queries + row + 1, first);
        any |= block.masks[row];
      }
      if (any) all[queries / kBlock].push_back(block);
    }
  }
  return all;
}

// Columns of queries, keys and values in one row of a token, one head after the other; queries are already scaled.
struct Heads {
  int heads, kv_heads;

  int columns() const { return (heads + 2 * kv_heads) * kHead; }
  int query(int head) const { return head * kHead; }
  int key(int kv_head) const { return (heads + kv_head) * kHead; }
  int value(int kv_head) const { return (heads + kv_heads + kv_head) * kHead; }
};

// out[32, 32] = a[32, 64] times b, whose tiles are [half of the columns][inner half].
inline void multiply_heads(float* out, const Half* a, std::int64_t stride, const Half* b) {
  multiply<false>(RowMajor{a, stride}, b, kBlock, kBlock, kHead, out, kBlock);
}

// e to the power of the scores, less a shift in powers of two, where the mask allows; else 0.
inline __m512 weight_of(const float* scores, float shift, __mmask16 mask) {
  return _mm512_maskz_mov_ps(mask, exp2_of(_mm512_fmsub_ps(_mm512_load_ps(scores), _mm512_set1_ps(kLog2E), _mm512_set1_ps(shift))));
}

// What one row of tokens needs while it is worked on.
class Attention {
 public:
  Attention(Heads heads, int tokens)
      : heads_(heads), tokens_(tokens), scores_(static_cast<std::int64_t>(tokens) * kBlock), keys_(tokens * kHead),
        values_(tokens * kHead), key_rows_(tokens * kHead), key_sums_(tokens * kHead), value_sums_(tokens * kHead) {}

  // mixed [tokens, heads * 64] and the base-2 logarithms of the sums of weights, logs [heads, tokens].
  void forward(const std::vector<std::vector<Seen>>& seen, const Half* joint, Half* mixed, float* logs) {
    const int stride = heads_.columns(), width = heads_.heads * kHead, group = heads_.heads / heads_.kv_heads;
    alignas(64) Half weights[kBlock * kBlock];
    alignas(64) float sums[kBlock * kHead];
    for (int kv_head = 0; kv_head < heads_.kv_heads; ++kv_head) {
      pack_transposed(keys_.data(), joint + heads_.key(kv_head), stride, tokens_, kHead);
      pack_blocks(values_.data(), joint + heads_.value(kv_head));
      for (int start = 0; start < tokens_; start += kBlock) {
        for (int head = kv_head * group; head < (kv_head + 1) * group; ++head) {
          const auto& blocks = seen[start / kBlock];
          const Half* queries = joint + static_cast<std::int64_t>(start) * stride + heads_.query(head);
          __m512 highest[kBlock], totals[kBlock];
          std::fill_n(highest, kBlock, _mm512_set1_ps(-INFINITY));
          std::fill_n(totals, kBlock, _mm512_setzero_ps());
          std::fill_n(sums, kBlock * kHead, 0.0f);
          float* block = scores_.data();
          for (const Seen& one : blocks) {
            multiply_heads(block, queries, stride, keys_.data() + one.first * kHead);
            for (int row = 0; row < kBlock; ++row, block += kBlock) {
              const std::uint32_t mask = one.masks[row];
              highest[row] = _mm512_mask_max_ps(highest[row], mask & 0xffff, highest[row], _mm512_load_ps(block));
              highest[row] = _mm512_mask_max_ps(highest[row], mask >> 16, highest[row], _mm512_load_ps(block + 16));
            }
          }
          float shift[kBlock];
          for (int row = 0; row < kBlock; ++row) shift[row] = _mm512_reduce_max_ps(highest[row]) * kLog2E;
          block = scores_.data();
          for (const Seen& one : blocks) {
            for (int row = 0; row < kBlock; ++row, block += kBlock) {
              const __m512 left = weight_of(block, shift[row], one.masks[row] & 0xffff);
              const __m512 right = weight_of(block + 16, shift[row], one.masks[row] >> 16);
              totals[row] = _mm512_add_ps(totals[row], _mm512_add_ps(left, right));
              _mm512_store_si512(weights + row * kBlock, (__m512i)_mm512_cvtne2ps_pbh(right, left));
            }
            multiply<true>(RowMajor{weights, kBlock}, values_.data() + one.first * kHead, kBlock, kHead, kBlock, sums, kHead);
          }
          for (int row = 0; row < kBlock; ++row) {
            const float total = _mm512_reduce_add_ps(totals[row]);
            logs[static_cast<std::int64_t>(head) * tokens_ + start + row] = shift[row] + std::log2(total);
            Half* out = mixed + static_cast<std::int64_t>(start + row) * width + head * kHead;
            const __m512 share = _mm512_set1_ps(1 / total);
            for (int column = 0; column < kHead; column += 16) {
              store(out + column, _mm512_mul_ps(load(sums + row * kHead + column), share));
            }
          }
        }
      }
    }
  }

  // Gradients of queries, keys and values, in the places of `joint`, from that of `mixed`.
  void backward(const std::vector<std::vector<Seen>>& seen, const Half* gradient, const Half* joint, const Half* mixed,
                const float* logs, Half* to_joint) {
    const int stride = heads_.columns(), width = heads_.heads * kHead, group = heads_.heads / heads_.kv_heads;
    alignas(64) float scores[kBlock * kBlock], slopes[kBlock * kBlock], query_sums[kBlock * kHead];
    alignas(64) Half weight_pairs[kBlock * kBlock], slope_pairs[kBlock * kBlock], slope_rows[kBlock * kBlock];
    alignas(64) Half queries_across[kBlock * kHead], gradients_across[kBlock * kHead];
    for (int kv_head = 0; kv_head < heads_.kv_heads; ++kv_head) {
      pack_transposed(keys_.data(), joint + heads_.key(kv_head), stride, tokens_, kHead);
      pack_transposed(values_.data(), joint + heads_.value(kv_head), stride, tokens_, kHead);
      pack_blocks(key_rows_.data(), joint + heads_.key(kv_head));
      std::fill_n(key_sums_.data(), tokens_ * kHead, 0.0f);
      std::fill_n(value_sums_.data(), tokens_ * kHead, 0.0f);
      for (int start = 0; start < tokens_; start += kBlock) {
        for (int head = kv_head * group; head < (kv_head + 1) * group; ++head) {
          const std::int64_t place = static_cast<std::int64_t>(start) * width + head * kHead;
          const Half* queries = joint + static_cast<std::int64_t>(start) * stride + heads_.query(head);
          const Half* gradients = gradient + place;
          const float* log = logs + static_cast<std::int64_t>(head) * tokens_ + start;
          pack_across(queries_across, queries, stride, 0, kBlock, kHead, kBlock);
          pack_across(gradients_across, gradients, width, 0, kBlock, kHead, kBlock);
          std::fill_n(query_sums, kBlock * kHead, 0.0f);
          float shift[kBlock];
          for (int row = 0; row < kBlock; ++row) {
            __m512 sum = _mm512_setzero_ps();
            for (int column = 0; column < kHead; column += 16) {
              const std::int64_t at = row * width + column;
              sum = _mm512_fmadd_ps(load(gradients + at), load(mixed + place + at), sum);
            }
            shift[row] = _mm512_reduce_add_ps(sum);
          }
          for (const auto& [first, masks] : seen[start / kBlock]) {
            multiply_heads(scores, queries, stride, keys_.data() + first * kHead);
            multiply_heads(slopes, gradients, width, values_.data() + first * kHead);
            for (int row = 0; row < kBlock; row += 2) {
              __m512 weight[2][2], slope[2][2];
              for (int next = 0; next < 2; ++next) {
                const std::uint32_t mask = masks[row + next];
                for (int side = 0; side < 2; ++side) {
                  const int at = (row + next) * kBlock + side * 16;
                  weight[next][side] = weight_of(scores + at, log[row + next], side ? mask >> 16 : mask & 0xffff);
                  slope[next][side] = _mm512_mul_ps(
                      weight[next][side], _mm512_sub_ps(_mm512_load_ps(slopes + at), _mm512_set1_ps(shift[row + next])));
                }
                _mm512_store_si512(slope_rows + (row + next) * kBlock, (__m512i)_mm512_cvtne2ps_pbh(slope[next][1], slope[next][0]));
              }
              for (int side = 0; side < 2; ++side) {
                store_pairs(weight_pairs, row, side * 16, kBlock, weight[0][side], weight[1][side]);
                store_pairs(slope_pairs, row, side * 16, kBlock, slope[0][side], slope[1][side]);
              }
            }
            multiply<true>(RowMajor{slope_rows, kBlock}, key_rows_.data() + first * kHead, kBlock, kHead, kBlock, query_sums, kHead);
            multiply<true>(Tiled{queries_across}, slope_pairs, kHead, kBlock, kBlock, key_sums_.data() + first * kHead, kBlock);
            multiply<true>(Tiled{gradients_across}, weight_pairs, kHead, kBlock, kBlock, value_sums_.data() + first * kHead, kBlock);
          }
          Half* out = to_joint + static_cast<std::int64_t>(start) * stride + heads_.query(head);
          for (int row = 0; row < kBlock; ++row, out += stride) {
            for (int column = 0; column < kHead; column += 16) store(out + column, load(query_sums + row * kHead + column));
          }
        }
      }
      store_across(to_joint + heads_.key(kv_head), key_sums_.data());
      store_across(to_joint + heads_.value(kv_head), value_sums_.data());
    }
  }

 private:
  // Rows as the second factor of "weights times rows", block by block: four tiles of 16 columns each.
  void pack_blocks(Half* tiles, const Half* rows) const {
    const int stride = heads_.columns();
    for (int start = 0; start < tokens_; start += kBlock) {
      pack_rows(tiles + start * kHead, rows + static_cast<std::int64_t>(start) * stride, stride, 0, kBlock, kHead, kBlock);
    }
  }

  // Copies sums, blocks of [64, 32], into one head's columns.
  void store_across(Half* out, const float* sums) const {
    for (int token = 0; token < tokens_; token += 16) {
      const float* block = sums + token / kBlock * kBlock * kHead + token % kBlock;
      for (int column = 0; column < kHead; column += 16) {
        __m512i square[16];
        for (int line = 0; line < 16; ++line) square[line] = _mm512_loadu_si512(block + (column + line) * kBlock);
        transpose(square);
        for (int line = 0; line < 16; ++line) {
          store(out + static_cast<std::int64_t>(token + line) * heads_.columns() + column, _mm512_castsi512_ps(square[line]));
        }
      }
    }
  }

  Heads heads_;
  int tokens_;
  Buffer<float> scores_;
  Buffer<Half> keys_, values_, key_rows_;
  Buffer<float> key_sums_, value_sums_;
};

}  // namespace amx
