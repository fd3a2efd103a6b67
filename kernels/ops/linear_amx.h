// Products of a quantised matrix with many tokens on AMX tiles: 16 tokens x 16 rows x 64 k in one instruction.
//
// The integer sums are exact and the float steps are those of record_product.h, so the bits are the same too. A panel's
// super-block is unpacked once to bytes and serves all tokens of the group:
//   K family: weight * scale of the sub-block as low + high * 2^shift, two planes of bytes. Scales of 6 bits without a
//             sign are split, 3 bits and 3 bits, so that each plane is a product of bytes that fits a byte without a
//             sign (of 4 bits they need no high plane); those with a sign are multiplied whole, and the 14 bits of the
//             product split
//   blocks of 32: the weight itself
#pragma once

#include <immintrin.h>

#include "ops/linear_results.h"
#include "ops/linear_task.h"
#include "ops/panel_record.h"
#include "ops/unroll.h"
#include "simd/avx512.h"

namespace candlewick {

constexpr int amx_tokens = most_tile_tokens;    // rows of a tile

// What tiles are loaded from is in memory by here: compilers do not know that these instructions read it.
inline void finish_stores() { asm volatile("" ::: "memory"); }

constexpr int amx_tile_bytes = 16 * 64;

struct alignas(64) TileConfig {
    uint8_t palette = 1;
    uint8_t start_row = 0;
    uint8_t reserved[14] = {};
    uint16_t column_bytes[16] = {};
    uint8_t rows[16] = {};

    // Tiles 0 - 3 hold sums, 4 and 5 activations of `k` values, 6 and 7 weights.
    explicit TileConfig(int k) {
        for (int tile = 0; tile < 8; ++tile) {
            rows[tile] = uint8_t(tile < 6 ? 16 : k / 4);
            column_bytes[tile] = uint16_t(tile == 4 || tile == 5 ? k : 64);
        }
    }
};
static_assert(sizeof(TileConfig) == 64);

// Whether weight times scale needs the high plane.
template <class Panel>
constexpr bool needs_high_plane = Panel::scaling != Scaling::four_bit_min;

// What the high plane counts, as a power of two.
template <class Panel>
constexpr int plane_shift = has_minimum(Panel::scaling) ? 3 : 7;

// One super-block of 16 rows as bytes, its integer scales multiplied in. They have a sign where the scales have.
template <class Panel>
struct ScaledBytes {
    // In steps of 4 k: low + high * 2^plane_shift = (weight - offset) * scale.
    alignas(64) uint8_t low[4 * amx_tile_bytes];
    alignas(64) uint8_t high[4 * amx_tile_bytes];

    // One of four parts of the work of unpacking a record.
    template <int Quarter>
    void unpack_quarter(const uint8_t* record) {
        constexpr int vectors = Panel::num_sub_blocks / 4;
        if constexpr (Quarter * vectors % 4 != 0) return;
        constexpr int v = Quarter * vectors / 4;
        const SubBlockScales<Avx512, Panel> scales(record);
        const PlaneCursor<Panel> planes(record, 4 * v * Panel::sub_block);
        constexpr int lines = (Panel::record_bytes + 63) / 64;
        for (int line = lines * v / vectors; line < lines * (v + 1) / vectors; ++line)
            Avx512::prefetch(record + prefetch_distance + 64 * line);
        unroll<4>([&]<int J>() __attribute__((always_inline)) {
            const __m512i scale32 = scales.template scale_of<J>(v);
            const __m512i scale = _mm512_or_si512(_mm512_and_si512(scale32, _mm512_set1_epi32(0xffff)),
                                                  _mm512_slli_epi32(scale32, 16));
            constexpr int steps = Panel::sub_block / 4;
            unroll<steps>([&]<int I>() __attribute__((always_inline)) {
                constexpr int step = J * steps + I;
                store_step(v * 4 * steps + step, unpack_step<Avx512, Panel, step>(planes), scale);
            });
        });
    }

  private:
    // `scale` stands in both halves of a dword.
    void store_step(int step, __m512i w, __m512i scale) {
        if constexpr (has_minimum(Panel::scaling)) {
            // Two bytes of weights at once: no product reaches into the next byte (31 * 7, 3 * 15).
            const __m512i three_bits = _mm512_set1_epi16(7);
            const __m512i first = needs_high_plane<Panel> ? _mm512_and_si512(scale, three_bits) : scale;
            _mm512_store_si512(low + 64 * step, _mm512_mullo_epi16(w, first));
            if constexpr (needs_high_plane<Panel>)
                _mm512_store_si512(high + 64 * step, _mm512_mullo_epi16(w, _mm512_srli_epi16(scale, 3)));
        } else {
            const __m512i byte = _mm512_set1_epi16(255);
            const __m512i low_bits = _mm512_set1_epi16(127);
            const __m512i offset = _mm512_set1_epi16(Panel::offset);
            const __m512i even = _mm512_mullo_epi16(_mm512_sub_epi16(_mm512_and_si512(w, byte), offset), scale);
            const __m512i odd = _mm512_mullo_epi16(_mm512_sub_epi16(_mm512_srli_epi16(w, 8), offset), scale);
            _mm512_store_si512(low + 64 * step, _mm512_or_si512(_mm512_and_si512(even, low_bits),
                                                                _mm512_slli_epi16(_mm512_and_si512(odd, low_bits), 8)));
            _mm512_store_si512(high + 64 * step,
                               _mm512_or_si512(_mm512_and_si512(_mm512_srai_epi16(even, 7), byte),
                                               _mm512_slli_epi16(_mm512_srai_epi16(odd, 7), 8)));
        }
    }
};

// Adds to the sums of tile 2 * Tokens + Plane the products of the activations in tile 4 + Tokens and the weights in tile
// 6 + Plane. The compiler wants the tiles' numbers written out.
template <class Panel, int Tokens, int Plane>
static inline __attribute__((always_inline)) void multiply_add() {
    if constexpr (has_minimum(Panel::scaling)) {
        if constexpr (Tokens == 0 && Plane == 0) _tile_dpbsud(0, 4, 6);
        if constexpr (Tokens == 0 && Plane == 1) _tile_dpbsud(1, 4, 7);
        if constexpr (Tokens == 1 && Plane == 0) _tile_dpbsud(2, 5, 6);
        if constexpr (Tokens == 1 && Plane == 1) _tile_dpbsud(3, 5, 7);
    } else {
        if constexpr (Tokens == 0 && Plane == 0) _tile_dpbssd(0, 4, 6);
        if constexpr (Tokens == 0 && Plane == 1) _tile_dpbssd(1, 4, 7);
        if constexpr (Tokens == 1 && Plane == 0) _tile_dpbssd(2, 5, 6);
        if constexpr (Tokens == 1 && Plane == 1) _tile_dpbssd(3, 5, 7);
    }
}

// Sums of one super-block for 16 or 32 tokens: [Tiles][low, high][16 tokens][16 rows]. Tiles are busy for long with few
// instructions, so `meanwhile<Quarter>()` is called four times in between, for work of another kind.
template <class Panel, int Tiles, class Function>
static inline __attribute__((always_inline)) void multiply_planes(const uint8_t* input, const uint8_t* low,
                                                                  const uint8_t* high, int32_t* sums,
                                                                  Function&& meanwhile) {
    constexpr size_t stride = activation_record_bytes;
    constexpr size_t next = amx_tokens * stride;
    constexpr bool two_planes = needs_high_plane<Panel>;
    finish_stores();
    _tile_zero(0);
    if constexpr (two_planes) _tile_zero(1);
    if constexpr (Tiles == 2) _tile_zero(2);
    if constexpr (Tiles == 2 && two_planes) _tile_zero(3);
    unroll<4>([&]<int I>() __attribute__((always_inline)) {
        _tile_loadd(4, input + 64 * I, stride);
        _tile_loadd(6, low + I * amx_tile_bytes, 64);
        multiply_add<Panel, 0, 0>();
        if constexpr (two_planes) {
            _tile_loadd(7, high + I * amx_tile_bytes, 64);
            multiply_add<Panel, 0, 1>();
        }
        if constexpr (Tiles == 2) {
            _tile_loadd(5, input + next + 64 * I, stride);
            multiply_add<Panel, 1, 0>();
            if constexpr (two_planes) multiply_add<Panel, 1, 1>();
        }
        meanwhile.template operator()<I>();
    });
    _tile_stored(0, sums, 64);
    if constexpr (two_planes) _tile_stored(1, sums + 256, 64);
    if constexpr (Tiles == 2) _tile_stored(2, sums + 512, 64);
    if constexpr (Tiles == 2 && two_planes) _tile_stored(3, sums + 768, 64);
}

// A super-block times up to 32 tokens, whose integer sums wait to be added to the results.
template <class Panel>
struct WaitingSums {
    using S = Avx512;
    const int32_t* sums;                 // as multiply_planes leaves them
    const uint8_t* record;
    const SuperActivation* activation;   // of the first token
    float* partial;                      // its results so far
    int num_tokens;
    bool is_first;                       // super-block of the panel

    template <int Quarter>
    void add_up(const SubBlockMinimums<S, Panel>& minimums, const SuperBlockFloats<S, Panel>& floats) const {
        const int tokens = num_tokens - 8 * Quarter < 8 ? num_tokens - 8 * Quarter : 8;
        const int32_t* sum = sums + Quarter / 2 * 512 + Quarter % 2 * 128;
        const SuperActivation* of = activation + 8 * Quarter;
        float* out = partial + 16 * 8 * Quarter;
        for (int t = 0; t < tokens; ++t) {
            S::I32 total = S::load_int(sum + 16 * t);
            if constexpr (needs_high_plane<Panel>)
                total = S::add_int(total, S::shift_left<plane_shift<Panel>>(S::load_int(sum + 16 * t + 256)));
            S::I32 minimum = total;
            if constexpr (has_minimum(Panel::scaling)) minimum = minimums.times_sums(of[t]);
            const S::F32 acc = S::load_first(out + 16 * t, is_first ? 0 : 16);
            S::store(out + 16 * t, floats.add_to(acc, total, minimum, of[t].scale));
        }
    }
};

// A panel is a sequence of jobs: a super-block times 32 tokens. While the tiles work on one job, the vector units add up
// the one before and, if the next job begins a new super-block, unpack that.
template <TensorType Type>
static void linear_amx_super(const LinearTask& task) {
    using Panel = PanelOf<Type>;
    using S = Avx512;
    constexpr int pair = 2 * amx_tokens;
    const TileConfig config(64);
    finish_stores();
    _tile_loadconfig(&config);
    ScaledBytes<Panel> bytes[2];             // of the super-block in work, and of the next
    alignas(64) int32_t sums[2][4 * 256];    // of the job in work, and of the one before
    const int super_blocks = task.columns / super_block;
    const size_t stride = size_t(task.input_tokens) * activation_record_bytes;
    for (int p = task.first_panel; p < task.first_panel + task.num_panels; ++p) {
        const uint8_t* record = task.panels + size_t(p) * task.panel_bytes;
        const uint8_t* input = task.input + size_t(task.first_token) * activation_record_bytes;
        unroll<4>([&]<int Quarter>() { bytes[0].template unpack_quarter<Quarter>(record); });
        WaitingSums<Panel> before{sums[1],      record, reinterpret_cast<const SuperActivation*>(input),
                                  task.scratch, 0,      true};
        for (int s = 0; s < super_blocks; ++s, record += Panel::record_bytes, input += stride) {
            const ScaledBytes<Panel>& own = bytes[s & 1];
            ScaledBytes<Panel>& next = bytes[(s + 1) & 1];
            for (int begin = 0; begin < task.num_tokens; begin += pair) {
                const int tokens = task.num_tokens - begin < pair ? task.num_tokens - begin : pair;
                const bool unpacks = begin + pair >= task.num_tokens && s + 1 < super_blocks;
                const uint8_t* tiles = input + size_t(begin) * activation_record_bytes;
                int32_t* work = before.sums == sums[0] ? sums[1] : sums[0];
                const SubBlockMinimums<S, Panel> minimums(before.record);
                const SuperBlockFloats<S, Panel> floats(before.record);
                const auto meanwhile = [&]<int Quarter>() __attribute__((always_inline)) {
                    before.template add_up<Quarter>(minimums, floats);
                    if (unpacks) next.template unpack_quarter<Quarter>(record + Panel::record_bytes);
                };
                if (tokens > amx_tokens)
                    multiply_planes<Panel, 2>(tiles, own.low, own.high, work, meanwhile);
                else
                    multiply_planes<Panel, 1>(tiles, own.low, own.high, work, meanwhile);
                before = {work, record, reinterpret_cast<const SuperActivation*>(tiles), task.scratch + 16 * begin,
                          tokens, s == 0};
            }
        }
        const SubBlockMinimums<S, Panel> minimums(before.record);
        const SuperBlockFloats<S, Panel> floats(before.record);
        unroll<4>([&]<int Quarter>() { before.template add_up<Quarter>(minimums, floats); });
        write_results<S>(task, p, task.scratch);
    }
    _tile_release();
}

// Sums of four blocks of 32 for 16 tokens: [4][16 tokens][16 rows].
static inline void multiply_blocks(const uint8_t* input, const int8_t* weights, int32_t* sums) {
    constexpr size_t stride = activation_record_bytes;
    finish_stores();
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_loadd(4, input, stride);
    _tile_loadd(6, weights, 64);
    _tile_dpbssd(0, 4, 6);
    _tile_loadd(5, input + 32, stride);
    _tile_loadd(7, weights + 512, 64);
    _tile_dpbssd(1, 5, 7);
    _tile_loadd(4, input + 64, stride);
    _tile_loadd(6, weights + 1024, 64);
    _tile_dpbssd(2, 4, 6);
    _tile_loadd(5, input + 96, stride);
    _tile_loadd(7, weights + 1536, 64);
    _tile_dpbssd(3, 5, 7);
    _tile_stored(0, sums, 64);
    _tile_stored(1, sums + 256, 64);
    _tile_stored(2, sums + 512, 64);
    _tile_stored(3, sums + 768, 64);
}

template <TensorType Type>
static void linear_amx_block(const LinearTask& task) {
    using Panel = PanelOf<Type>;
    using S = Avx512;
    const TileConfig config(32);
    finish_stores();
    _tile_loadconfig(&config);
    alignas(64) int8_t weights[8 * 512];
    alignas(64) int32_t sums[4 * 256];
    const int num_blocks = task.columns / 32;
    const size_t stride = size_t(task.input_tokens) * activation_record_bytes;
    for (int p = task.first_panel; p < task.first_panel + task.num_panels; ++p) {
        const uint8_t* record = task.panels + size_t(p) * task.panel_bytes;
        const uint8_t* input = task.input + size_t(task.first_token) * activation_record_bytes;
        for (int first = 0; first < num_blocks; first += 8, input += stride) {
            const int blocks = num_blocks - first < 8 ? num_blocks - first : 8;
            S::F32 d[8], m[8];
            for (int b = 0; b < blocks; ++b, record += Panel::record_bytes) {
                const PlaneCursor<Panel> planes(record, 0);
                unroll<8>([&]<int Step>() __attribute__((always_inline)) {
                    const __m512i w = unpack_step<S, Panel, Step>(planes);
                    _mm512_store_si512(weights + 512 * b + 64 * Step,
                                       _mm512_sub_epi8(w, _mm512_set1_epi8(int8_t(Panel::offset))));
                });
                d[b] = block_scale<S, Panel>(record);
                if constexpr (has_minimum(Panel::scaling))
                    m[b] = S::load_half(reinterpret_cast<const uint16_t*>(record + Panel::min_at));
            }
            for (int begin = 0; begin < task.num_tokens; begin += amx_tokens) {
                const uint8_t* tile_input = input + size_t(begin) * activation_record_bytes;
                const auto* activation = reinterpret_cast<const BlockActivation*>(tile_input);
                const int tokens = task.num_tokens - begin < amx_tokens ? task.num_tokens - begin : amx_tokens;
                for (int half = 0; half < blocks; half += 4) {
                    multiply_blocks(tile_input + 32 * half, weights + 512 * half, sums);
                    const int end = blocks - half < 4 ? blocks - half : 4;
                    for (int t = 0; t < tokens; ++t) {
                        float* partial = task.scratch + 16 * (begin + t);
                        S::F32 acc = first + half == 0 ? S::zero() : S::load(partial);
                        for (int b = 0; b < end; ++b) {
                            const float scale = activation[t].scale[half + b];
                            const S::F32 exact = S::to_float(S::load_int(sums + 256 * b + 16 * t));
                            acc = S::fma(exact, S::mul(d[half + b], S::set1(scale)), acc);
                            if constexpr (has_minimum(Panel::scaling)) {
                                const float sum = float(activation[t].sum[half + b]);
                                acc = S::fma(m[half + b], S::set1(scale * sum), acc);
                            }
                        }
                        S::store(partial, acc);
                    }
                }
            }
        }
        write_results<S>(task, p, task.scratch);
    }
    _tile_release();
}

}    // namespace candlewick
