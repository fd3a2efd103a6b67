// Attention of packed dialogues, forwards and backwards, in bfloat16 on a processor with AMX.
//
// Owns the two operators `candlewick::attend` and `candlewick::attend_backward`; what they compute is
// specified by `attend` in model.py, which other processors use. Follows FlashAttention-2 (Dao 2023,
// arXiv:2307.08691): scores are made again backwards instead of being kept. Blocks of keys that nobody in a
// block of queries sees are skipped, so a row costs what its dialogues would cost alone.
//
// Shapes: query [batch, tokens, heads, 64], already scaled; key and value [batch, tokens, kv_heads, 64];
// spans [batch, tokens, 3] int32: token i sees [spans[0], spans[1]) and [spans[2], i].

#include <ATen/Parallel.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <torch/library.h>
#include <torch/torch.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <tuple>
#include <vector>

namespace {

using Half = at::BFloat16;

constexpr int kBlock = 32;   // queries and keys of a block: two tiles of 16, and one inner length of a tile product
constexpr int kHead = 64;    // columns of a head
constexpr int kTile = 512;   // bfloat16 values in a tile: 16 rows of 64 bytes
constexpr float kLog2E = 1.4426950408889634f;

// Floats that a tile or a register reads whole lines of.
template <typename T>
struct Aligned : std::allocator<T> {
  template <typename U>
  struct rebind { using other = Aligned<U>; };
  T* allocate(std::size_t count) { return static_cast<T*>(std::aligned_alloc(64, (count * sizeof(T) + 63) / 64 * 64)); }
  void deallocate(T* data, std::size_t) { std::free(data); }
};
using Floats = std::vector<float, Aligned<float>>;

// All tiles have 16 rows of 64 bytes. The library that multiplies the other matrices keeps shapes of its own
// in the same registers, so they are put back.
class Tiles {
 public:
  Tiles() {
    _tile_storeconfig(before_);
    alignas(64) std::uint8_t shape[64] = {1};
    for (int tile = 0; tile < 8; ++tile) {
      shape[16 + 2 * tile] = 64;
      shape[48 + tile] = 16;
    }
    _tile_loadconfig(shape);
  }
  ~Tiles() {
    if (before_[0]) {
      _tile_loadconfig(before_);
    } else {
      _tile_release();
    }
  }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;

 private:
  alignas(64) std::uint8_t before_[64];
};

// out[32, 32] = a[32, 64] times b, whose tiles are [half of the columns][inner half of 32].
void multiply_heads(float* out, const Half* a, std::int64_t a_bytes, const Half* b) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int inner = 0; inner < 2; ++inner) {
    _tile_loadd(4, a + inner * 32, a_bytes);
    _tile_loadd(5, reinterpret_cast<const char*>(a + inner * 32) + 16 * a_bytes, a_bytes);
    _tile_loadd(6, b + inner * kTile, 64);
    _tile_loadd(7, b + (2 + inner) * kTile, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, out, kBlock * 4);
  _tile_stored(1, out + 16, kBlock * 4);
  _tile_stored(2, out + 16 * kBlock, kBlock * 4);
  _tile_stored(3, out + 16 * kBlock + 16, kBlock * 4);
}

// out[32, 32] += a[32, 32] times b[32, 32], given as two tiles of 16 columns.
void multiply_add(float* out, std::int64_t out_bytes, const Half* a, const Half* b) {
  char* low = reinterpret_cast<char*>(out) + 16 * out_bytes;
  _tile_loadd(0, out, out_bytes);
  _tile_loadd(1, out + 16, out_bytes);
  _tile_loadd(2, low, out_bytes);
  _tile_loadd(3, low + 64, out_bytes);
  _tile_loadd(4, a, 64);
  _tile_loadd(5, a + kTile, 64);
  _tile_loadd(6, b, 64);
  _tile_loadd(7, b + kTile, 64);
  _tile_dpbf16ps(0, 4, 6);
  _tile_dpbf16ps(1, 4, 7);
  _tile_dpbf16ps(2, 5, 6);
  _tile_dpbf16ps(3, 5, 7);
  _tile_stored(0, out, out_bytes);
  _tile_stored(1, out + 16, out_bytes);
  _tile_stored(2, low, out_bytes);
  _tile_stored(3, low + 64, out_bytes);
}

// One head's rows of a tensor [batch, tokens, heads, 64].
struct Rows {
  const Half* data;
  std::int64_t stride;  // values from one token to the next

  Rows(const at::Tensor& tensor, std::int64_t batch, std::int64_t head)
      : data(tensor.const_data_ptr<Half>() + batch * tensor.stride(0) + head * kHead), stride(tensor.stride(1)) {}

  const Half* at(std::int64_t token) const { return data + token * stride; }
};

// Rows as the second factor of "rows times their transpose": for each block of 32, tiles [half][inner half].
std::vector<Half> pack_transposed(const Rows& rows, std::int64_t tokens) {
  std::vector<Half> packed(tokens * kHead);
  auto* out = reinterpret_cast<std::uint32_t*>(packed.data());
  for (std::int64_t token = 0; token < tokens; ++token) {
    const auto* pairs = reinterpret_cast<const std::uint32_t*>(rows.at(token));
    std::uint32_t* tile = out + (token / 16) * kTile;  // two tiles of 256 pairs
    for (int pair = 0; pair < 32; ++pair) tile[pair * 16 + token % 16] = pairs[pair];
  }
  return packed;
}

// Rows as the second factor of "weights times rows": for each block of 32, four tiles of 16 columns, in which
// neighbouring rows stand side by side.
std::vector<Half> pack_pairs(const Rows& rows, std::int64_t tokens) {
  std::vector<Half> packed(tokens * kHead);
  for (std::int64_t token = 0; token < tokens; ++token) {
    const Half* row = rows.at(token);
    Half* block = packed.data() + token / kBlock * kBlock * kHead + token % kBlock / 2 * kBlock + token % 2;
    for (int column = 0; column < kHead; ++column) block[column / 16 * kTile + column % 16 * 2] = row[column];
  }
  return packed;
}

// The transpose of 32 rows as a first factor: four tiles of 16 columns, each row of a tile one column.
void transpose_block(Half* out, const Rows& rows, std::int64_t start) {
  for (int row = 0; row < kBlock; ++row) {
    const Half* values = rows.at(start + row);
    for (int column = 0; column < kHead; ++column) out[column * kBlock + row] = values[column];
  }
}

__m512 exp2_of(__m512 x) {
  const __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 rest = _mm512_sub_ps(x, whole);
  __m512 sum = _mm512_set1_ps(1.3333558e-3f);
  for (const float factor : {9.6181291e-3f, 5.5504109e-2f, 2.4022651e-1f, 6.9314718e-1f, 1.0f}) {
    sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(factor));
  }
  return _mm512_scalef_ps(sum, whole);
}

// e to the power of the scores, less a shift in powers of two, where the mask allows; else 0.
__m512 weight_of(const float* scores, float shift, __mmask16 mask) {
  return _mm512_maskz_mov_ps(mask, exp2_of(_mm512_fmsub_ps(_mm512_load_ps(scores), _mm512_set1_ps(kLog2E), _mm512_set1_ps(shift))));
}

// A block of keys that some of a block of queries sees: bit k of a query's mask says whether it sees key `first + k`.
struct Seen {
  std::int64_t first;
  std::uint32_t masks[kBlock];
};

// Bits of a block that begins at `start` for the places [first, end).
std::uint32_t bits(std::int64_t first, std::int64_t end, std::int64_t start) {
  const auto below = [start](std::int64_t place) {
    const auto count = std::clamp<std::int64_t>(place - start, 0, kBlock);
    return static_cast<std::uint32_t>((std::uint64_t{1} << count) - 1);
  };
  return below(end) & ~below(first);
}

std::vector<Seen> seen_blocks(const at::Tensor& spans, std::int64_t batch, std::int64_t queries) {
  const int* span = spans.const_data_ptr<int>() + batch * spans.stride(0) + queries * spans.stride(1);
  std::vector<Seen> found;
  for (std::int64_t first = 0; first <= queries; first += kBlock) {
    Seen block{first, {}};
    std::uint32_t any = 0;
    for (int row = 0; row < kBlock; ++row) {
      const int* own = span + 3 * row;
      block.masks[row] = bits(own[0], own[1], first) | bits(own[2], queries + row + 1, first);
      any |= block.masks[row];
    }
    if (any) found.push_back(block);
  }
  return found;
}

struct Shape {
  std::int64_t batch, tokens, heads, kv_heads, group;

  Shape(const at::Tensor& query, const at::Tensor& key, const at::Tensor& spans)
      : batch(query.size(0)), tokens(query.size(1)), heads(query.size(2)), kv_heads(key.size(2)), group(heads / kv_heads) {
    TORCH_CHECK(query.size(3) == kHead && tokens % kBlock == 0, "heads of 64 and tokens by 32 are wanted, got ",
                query.sizes());
    TORCH_CHECK(spans.scalar_type() == at::kInt && spans.is_contiguous(), "spans must be int32 and contiguous");
    for (const at::Tensor* tensor : {&query, &key}) {
      TORCH_CHECK(tensor->scalar_type() == at::kBFloat16 && tensor->is_contiguous(), "bfloat16, contiguous, is wanted");
    }
  }
};

// [batch, tokens, heads, 64] mixed values and [batch, heads, tokens] base-2 logarithms of the sums of weights.
std::tuple<at::Tensor, at::Tensor> attend(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                          const at::Tensor& spans) {
  const Shape shape(query, key, spans);
  at::Tensor mixed = at::empty_like(query);
  at::Tensor logs = at::empty({shape.batch, shape.heads, shape.tokens}, query.options().dtype(at::kFloat));
  at::parallel_for(0, shape.batch * shape.kv_heads, 1, [&](std::int64_t begin, std::int64_t end) {
    const Tiles tiles;
    Floats scores(shape.tokens * kBlock);
    alignas(64) Half weights[kBlock * kBlock];
    alignas(64) float sums[kBlock * kHead], shift[kBlock];
    __m512 highest[kBlock], totals[kBlock];
    for (std::int64_t part = begin; part < end; ++part) {
      const std::int64_t batch = part / shape.kv_heads, kv_head = part % shape.kv_heads;
      const auto keys = pack_transposed(Rows(key, batch, kv_head), shape.tokens);
      const auto values = pack_pairs(Rows(value, batch, kv_head), shape.tokens);
      for (std::int64_t start = 0; start < shape.tokens; start += kBlock) {
        const auto blocks = seen_blocks(spans, batch, start);
        for (std::int64_t head = kv_head * shape.group; head < (kv_head + 1) * shape.group; ++head) {
          const Rows queries(query, batch, head);
          std::fill_n(sums, kBlock * kHead, 0.0f);
          std::fill_n(highest, kBlock, _mm512_set1_ps(-INFINITY));
          std::fill_n(totals, kBlock, _mm512_setzero_ps());
          float* block = scores.data();
          for (const Seen& seen : blocks) {
            multiply_heads(block, queries.at(start), queries.stride * 2, keys.data() + seen.first * kHead);
            for (int row = 0; row < kBlock; ++row, block += kBlock) {
              const std::uint32_t mask = seen.masks[row];
              highest[row] = _mm512_mask_max_ps(highest[row], mask & 0xffff, highest[row], _mm512_load_ps(block));
              highest[row] = _mm512_mask_max_ps(highest[row], mask >> 16, highest[row], _mm512_load_ps(block + 16));
            }
          }
          for (int row = 0; row < kBlock; ++row) shift[row] = _mm512_reduce_max_ps(highest[row]) * kLog2E;
          block = scores.data();
          for (const Seen& seen : blocks) {
            for (int row = 0; row < kBlock; ++row, block += kBlock) {
              const __m512 left = weight_of(block, shift[row], seen.masks[row] & 0xffff);
              const __m512 right = weight_of(block + 16, shift[row], seen.masks[row] >> 16);
              totals[row] = _mm512_add_ps(totals[row], _mm512_add_ps(left, right));
              _mm512_store_si512(weights + row * kBlock, (__m512i)_mm512_cvtne2ps_pbh(right, left));
            }
            const Half* packed = values.data() + seen.first * kHead;
            multiply_add(sums, kHead * 4, weights, packed);
            multiply_add(sums + kBlock, kHead * 4, weights, packed + 2 * kTile);
          }
          float* log = logs.mutable_data_ptr<float>() + (batch * shape.heads + head) * shape.tokens + start;
          for (int row = 0; row < kBlock; ++row) {
            const float total = _mm512_reduce_add_ps(totals[row]);
            log[row] = shift[row] + std::log2(total);
            Half* out = mixed.mutable_data_ptr<Half>() + (((batch * shape.tokens + start + row) * shape.heads) + head) * kHead;
            for (int column = 0; column < kHead; ++column) out[column] = sums[row * kHead + column] / total;
          }
        }
      }
    }
  });
  return {mixed, logs};
}

// Writes a block of 32 by 32 as the second factor of "something times it": two tiles of 16 columns, neighbouring rows
// side by side.
void store_pairs(Half* out, int row, __m512 left, __m512 right, __m512 next_left, __m512 next_right) {
  const __m512i order = _mm512_set_epi32(0x001f000f, 0x001e000e, 0x001d000d, 0x001c000c, 0x001b000b, 0x001a000a, 0x00190009,
                                         0x00180008, 0x00170007, 0x00160006, 0x00150005, 0x00140004, 0x00130003, 0x00120002,
                                         0x00110001, 0x00100000);
  _mm512_storeu_si512(out + row / 2 * kBlock, _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(next_left, left)));
  _mm512_storeu_si512(out + kTile + row / 2 * kBlock,
                      _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(next_right, right)));
}

// Copies sums, blocks of [64, 32], into one head of a tensor [batch, tokens, heads, 64].
void store_transposed(at::Tensor& tensor, std::int64_t batch, std::int64_t head, const Floats& sums,
                      std::int64_t tokens) {
  Half* out = tensor.mutable_data_ptr<Half>() + batch * tensor.stride(0) + head * kHead;
  for (std::int64_t token = 0; token < tokens; ++token) {
    for (int column = 0; column < kHead; ++column) {
      out[token * tensor.stride(1) + column] = sums[token / kBlock * kBlock * kHead + column * kBlock + token % kBlock];
    }
  }
}

// Gradients of query, key and value.
std::tuple<at::Tensor, at::Tensor, at::Tensor> attend_backward(const at::Tensor& gradient, const at::Tensor& query,
                                                               const at::Tensor& key, const at::Tensor& value,
                                                               const at::Tensor& spans, const at::Tensor& mixed,
                                                               const at::Tensor& logs) {
  const Shape shape(query, key, spans);
  TORCH_CHECK(gradient.is_contiguous() && gradient.scalar_type() == at::kBFloat16, "bfloat16, contiguous, is wanted");
  at::Tensor to_query = at::empty_like(query), to_key = at::empty_like(key), to_value = at::empty_like(value);
  const std::int64_t tokens = shape.tokens;
  at::parallel_for(0, shape.batch * shape.kv_heads, 1, [&](std::int64_t begin, std::int64_t end) {
    const Tiles tiles;
    Floats key_sums(kHead * tokens), value_sums(kHead * tokens);
    alignas(64) float scores[kBlock * kBlock], slopes[kBlock * kBlock], query_sums[kBlock * kHead];
    alignas(64) Half weight_pairs[kBlock * kBlock], slope_pairs[kBlock * kBlock], slope_rows[kBlock * kBlock];
    alignas(64) Half queries_across[kBlock * kHead], gradients_across[kBlock * kHead];
    for (std::int64_t part = begin; part < end; ++part) {
      const std::int64_t batch = part / shape.kv_heads, kv_head = part % shape.kv_heads;
      const Rows key_rows(key, batch, kv_head), value_rows(value, batch, kv_head);
      const auto keys = pack_transposed(key_rows, tokens), values = pack_transposed(value_rows, tokens);
      const auto key_pairs = pack_pairs(key_rows, tokens);
      std::fill(key_sums.begin(), key_sums.end(), 0.0f);
      std::fill(value_sums.begin(), value_sums.end(), 0.0f);
      for (std::int64_t start = 0; start < tokens; start += kBlock) {
        const auto blocks = seen_blocks(spans, batch, start);
        for (std::int64_t head = kv_head * shape.group; head < (kv_head + 1) * shape.group; ++head) {
          const Rows queries(query, batch, head), gradients(gradient, batch, head), results(mixed, batch, head);
          const float* log = logs.const_data_ptr<float>() + (batch * shape.heads + head) * tokens + start;
          transpose_block(queries_across, queries, start);
          transpose_block(gradients_across, gradients, start);
          std::fill_n(query_sums, kBlock * kHead, 0.0f);
          float shift[kBlock];
          for (int row = 0; row < kBlock; ++row) {
            const Half *a = gradients.at(start + row), *b = results.at(start + row);
            shift[row] = 0;
            for (int column = 0; column < kHead; ++column) shift[row] += static_cast<float>(a[column]) * static_cast<float>(b[column]);
          }
          for (const auto& [first, masks] : blocks) {
            multiply_heads(scores, queries.at(start), queries.stride * 2, keys.data() + first * kHead);
            multiply_heads(slopes, gradients.at(start), gradients.stride * 2, values.data() + first * kHead);
            for (int row = 0; row < kBlock; row += 2) {
              __m512 weight[2][2], slope[2][2];
              for (int next = 0; next < 2; ++next) {
                const std::uint32_t mask = masks[row + next];
                for (int side = 0; side < 2; ++side) {
                  const int place = (row + next) * kBlock + side * 16;
                  weight[next][side] = weight_of(scores + place, log[row + next], side ? mask >> 16 : mask & 0xffff);
                  slope[next][side] = _mm512_mul_ps(
                      weight[next][side], _mm512_sub_ps(_mm512_load_ps(slopes + place), _mm512_set1_ps(shift[row + next])));
                }
                _mm512_store_si512(slope_rows + (row + next) * kBlock, (__m512i)_mm512_cvtne2ps_pbh(slope[next][1], slope[next][0]));
              }
              store_pairs(weight_pairs, row, weight[0][0], weight[0][1], weight[1][0], weight[1][1]);
              store_pairs(slope_pairs, row, slope[0][0], slope[0][1], slope[1][0], slope[1][1]);
            }
            const Half* packed = key_pairs.data() + first * kHead;
            multiply_add(query_sums, kHead * 4, slope_rows, packed);
            multiply_add(query_sums + kBlock, kHead * 4, slope_rows, packed + 2 * kTile);
            for (int half = 0; half < 2; ++half) {
              const std::int64_t place = first * kHead + half * kBlock * kBlock;
              multiply_add(key_sums.data() + place, kBlock * 4, queries_across + half * 2 * kTile, slope_pairs);
              multiply_add(value_sums.data() + place, kBlock * 4, gradients_across + half * 2 * kTile, weight_pairs);
            }
          }
          for (int row = 0; row < kBlock; ++row) {
            Half* out = to_query.mutable_data_ptr<Half>() + (((batch * tokens + start + row) * shape.heads) + head) * kHead;
            for (int column = 0; column < kHead; ++column) out[column] = query_sums[row * kHead + column];
          }
        }
      }
      store_transposed(to_key, batch, kv_head, key_sums, tokens);
      store_transposed(to_value, batch, kv_head, value_sums, tokens);
    }
  });
  return {to_query, to_key, to_value};
}

// The kernel lends tiles only to programs that ask for them.
bool request_tiles() { return syscall(SYS_arch_prctl, 0x1023, 18) == 0; }

}  // namespace

TORCH_LIBRARY(candlewick, library) {
  TORCH_CHECK(request_tiles(), "the operating system lends no AMX tiles");
  library.def("attend(Tensor query, Tensor key, Tensor value, Tensor spans) -> (Tensor, Tensor)");
  library.def(
      "attend_backward(Tensor gradient, Tensor query, Tensor key, Tensor value, Tensor spans, Tensor mixed, Tensor logs) -> "
      "(Tensor, Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(candlewick, CPU, library) {
  library.impl("attend", attend);
  library.impl("attend_backward", attend_backward);
}
