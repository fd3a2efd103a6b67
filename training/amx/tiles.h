// Matrix products in AMX tiles, and the layouts that they read. One thread; float32 sums of bfloat16 products.
//
// A tile is 16 rows of 64 bytes. As a first factor it holds 16 rows of 32 values; as a second one 32 rows of 16 columns,
// in which neighbouring rows stand side by side, so 16 rows of 16 pairs.

#pragma once

#include <c10/util/BFloat16.h>
#include <immintrin.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

namespace amx {

using Half = c10::BFloat16;

constexpr int kBlock = 32;  // rows, columns and inner length of a product's smallest step: two by two tiles
constexpr int kTile = 512;  // bfloat16 values in a tile

// Whole cache lines, and no zeros written first.
template <typename T>
class Buffer {
 public:
  explicit Buffer(std::int64_t count = 0)
      : data_(static_cast<T*>(std::aligned_alloc(64, (count * sizeof(T) + 127) / 64 * 64)), std::free) {
    if (!data_) throw std::bad_alloc();
  }
  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }

 private:
  std::unique_ptr<T, void (*)(void*)> data_;
};

// All tiles have 16 rows of 64 bytes. Torch keeps shapes of its own in the same registers, so they are put back.
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

// A first factor as it stands in memory: rows of `stride` values.
struct RowMajor {
  const Half* data;
  std::int64_t stride;

  const Half* tile(int row, int inner, int) const { return data + row * stride + inner; }
  std::int64_t step() const { return stride * 2; }
};

// A first factor in tiles [rows / 16][inner / 32].
struct Tiled {
  const Half* data;

  const Half* tile(int row, int inner, int length) const {
    return data + (static_cast<std::int64_t>(row / 16) * (length / kBlock) + inner / kBlock) * kTile;
  }
  std::int64_t step() const { return 64; }
};

// out[rows, columns] = a[rows, inner] b, or that much more; all sizes are multiples of 32. `b` is in tiles
// [columns / 16][inner / 32].
template <bool kAdd, typename First>
void multiply(const First& a, const Half* b, int rows, int columns, int inner, float* out, std::int64_t out_stride) {
  const std::int64_t out_bytes = out_stride * 4;
  for (int column = 0; column < columns; column += kBlock) {
    const Half* left = b + static_cast<std::int64_t>(column / 16) * (inner / kBlock) * kTile;
    const Half* right = left + static_cast<std::int64_t>(inner / kBlock) * kTile;
    for (int row = 0; row < rows; row += kBlock) {
      float* upper = out + row * out_stride + column;
      float* lower = upper + 16 * out_stride;
      if constexpr (kAdd) {
        _tile_loadd(0, upper, out_bytes);
        _tile_loadd(1, upper + 16, out_bytes);
        _tile_loadd(2, lower, out_bytes);
        _tile_loadd(3, lower + 16, out_bytes);
      } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
      }
      for (int k = 0; k < inner; k += kBlock) {
        _tile_loadd(4, a.tile(row, k, inner), a.step());
        _tile_loadd(6, left + static_cast<std::int64_t>(k) * 16, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(5, a.tile(row + 16, k, inner), a.step());
        _tile_dpbf16ps(2, 5, 6);
        _tile_loadd(7, right + static_cast<std::int64_t>(k) * 16, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(3, 5, 7);
      }
      _tile_stored(0, upper, out_bytes);
      _tile_stored(1, upper + 16, out_bytes);
      _tile_stored(2, lower, out_bytes);
      _tile_stored(3, lower + 16, out_bytes);
    }
  }
}

inline __m512 load(const float* from) { return _mm512_loadu_ps(from); }

inline __m512 load(const Half* from) {
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

inline void store(Half* to, __m512 values) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), (__m256i)_mm512_cvtneps_pbh(values));
}

inline void round(Half* to, const float* from, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += 16) store(to + i, load(from + i));
}

// Sixteen columns of two neighbouring rows, side by side: a row of a second factor's tile.
inline __m512i pairs(__m512 row, __m512 next) {
  const __m512i order = _mm512_set_epi32(0x001f000f, 0x001e000e, 0x001d000d, 0x001c000c, 0x001b000b, 0x001a000a, 0x00190009,
                                         0x00180008, 0x00170007, 0x00160006, 0x00150005, 0x00140004, 0x00130003, 0x00120002,
                                         0x00110001, 0x00100000);
  return _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(next, row));
}

// Where sixteen columns from `column` of the rows `row` and `row` + 1 stand in a second factor of `inner` rows.
inline Half* pair_line(Half* tiles, int row, int column, int inner) {
  return tiles + (static_cast<std::int64_t>(column / 16) * (inner / kBlock) + row / kBlock) * kTile + row % kBlock / 2 * kBlock;
}

inline void store_pairs(Half* tiles, int row, int column, int inner, __m512 first, __m512 second) {
  _mm512_storeu_si512(pair_line(tiles, row, column, inner), pairs(first, second));
}

// A square of 16 by 16 four-byte values, on its side.
inline void transpose(__m512i square[16]) {
  __m512i by_two[16];
  for (int i = 0; i < 16; i += 2) {
    by_two[i] = _mm512_unpacklo_epi32(square[i], square[i + 1]);
    by_two[i + 1] = _mm512_unpackhi_epi32(square[i], square[i + 1]);
  }
  __m512i by_four[16];
  for (int i = 0; i < 16; i += 4) {
    by_four[i] = _mm512_unpacklo_epi64(by_two[i], by_two[i + 2]);
    by_four[i + 1] = _mm512_unpackhi_epi64(by_two[i], by_two[i + 2]);
    by_four[i + 2] = _mm512_unpacklo_epi64(by_two[i + 1], by_two[i + 3]);
    by_four[i + 3] = _mm512_unpackhi_epi64(by_two[i + 1], by_two[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    const __m512i upper_even = _mm512_shuffle_i32x4(by_four[i], by_four[4 + i], 0x88);
    const __m512i upper_odd = _mm512_shuffle_i32x4(by_four[i], by_four[4 + i], 0xdd);
    const __m512i lower_even = _mm512_shuffle_i32x4(by_four[8 + i], by_four[12 + i], 0x88);
    const __m512i lower_odd = _mm512_shuffle_i32x4(by_four[8 + i], by_four[12 + i], 0xdd);
    square[i] = _mm512_shuffle_i32x4(upper_even, lower_even, 0x88);
    square[4 + i] = _mm512_shuffle_i32x4(upper_odd, lower_odd, 0x88);
    square[8 + i] = _mm512_shuffle_i32x4(upper_even, lower_even, 0xdd);
    square[12 + i] = _mm512_shuffle_i32x4(upper_odd, lower_odd, 0xdd);
  }
}

// Pairs of columns of 16 rows as a row of a tile each: 16 rows of 32 values, given as the second factor's transpose.
inline void transpose_tile(Half* tile, const Half* rows, std::int64_t stride) {
  __m512i square[16];
  for (int row = 0; row < 16; ++row) square[row] = _mm512_loadu_si512(rows + row * stride);
  transpose(square);
  for (int row = 0; row < 16; ++row) _mm512_storeu_si512(tile + row * kBlock, square[row]);
}

// The second factor of "something times the transpose of these rows" [rows, columns]: tiles [rows / 16][columns / 32].
inline void pack_transposed(Half* tiles, const Half* rows, std::int64_t stride, int count, int columns) {
  for (int row = 0; row < count; row += 16) {
    for (int column = 0; column < columns; column += kBlock, tiles += kTile) {
      transpose_tile(tiles, rows + row * stride + column, stride);
    }
  }
}

// `rows` rows, `first` of `inner` and the following, as part of the second factor of "something times these rows": tiles
// [columns / 16][inner / 32].
template <typename T>
void pack_rows(Half* tiles, const T* values, std::int64_t stride, int first, int rows, int columns, int inner) {
  for (int row = 0; row < rows; row += 2) {
    const T* upper = values + row * stride;
    for (int column = 0; column < columns; column += 16) {
      store_pairs(tiles, first + row, column, inner, load(upper + column), load(upper + stride + column));
    }
  }
}

// The transpose of the same, rows by 32, as part of a first factor in tiles [columns / 16][inner / 32].
template <typename T>
void pack_across(Half* tiles, const T* values, std::int64_t stride, int first, int rows, int columns, int inner) {
  for (int row = 0; row < rows; row += kBlock) {
    for (int column = 0; column < columns; column += 16) {
      __m512i square[16];
      for (int pair = 0; pair < 16; ++pair) {
        const T* upper = values + (row + 2 * pair) * stride + column;
        square[pair] = pairs(load(upper), load(upper + stride));
      }
      transpose(square);
      Half* tile = tiles + (static_cast<std::int64_t>(column / 16) * (inner / kBlock) + (first + row) / kBlock) * kTile;
      for (int line = 0; line < 16; ++line) _mm512_storeu_si512(tile + line * kBlock, square[line]);
    }
  }
}

inline __m512 exp2_of(__m512 x) {
  const __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 rest = _mm512_sub_ps(x, whole);
  __m512 sum = _mm512_set1_ps(1.3333558e-3f);
  for (const float factor : {9.6181291e-3f, 5.5504109e-2f, 2.4022651e-1f, 6.9314718e-1f, 1.0f}) {
    sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(factor));
  }
  return _mm512_scalef_ps(sum, whole);
}

constexpr float kLog2E = 1.4426950408889634f;

}  // namespace amx
