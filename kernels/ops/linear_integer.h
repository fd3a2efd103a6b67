// Products of a quantised matrix with int8 activations.
//
// For one row, everything inside a block of k (256 or 32) is exact integer arithmetic; then one float step per block, in
// ascending order of k. So the result depends on nothing but the weights and the row's own activations: any tile of
// tokens, any number of threads and any instruction set give the same bits.
#pragma once

#include <utility>

#include "formats/panel_layout.h"
#include "ops/linear_task.h"

namespace candlewick {

template <class Function, int... I>
static inline __attribute__((always_inline)) void unroll(std::integer_sequence<int, I...>, Function&& function) {
    (function.template operator()<I>(), ...);
}

// function.operator()<0>() … <N - 1>(), so that shifts and offsets are constants.
template <int N, class Function>
static inline __attribute__((always_inline)) void unroll(Function&& function) {
    unroll(std::make_integer_sequence<int, N>{}, static_cast<Function&&>(function));
}

// Brings a field of a byte from bit From to bit To and clears all else; Mask is the field at bit To, in every byte.
template <class S, int From, int To, uint32_t Mask>
static inline __attribute__((always_inline)) typename S::I32 field(typename S::I32 line) {
    typename S::I32 moved = line;
    if constexpr (From > To) moved = S::template shift_right<From - To>(line);
    if constexpr (From < To) moved = S::template shift_left<To - From>(line);
    return S::and_int(moved, S::set1_int(int32_t(Mask)));
}

// The planes of a record from value k on; k is a multiple of 32.
template <class Panel>
struct PlaneCursor {
    const uint8_t* nibbles;    // or bytes
    const uint8_t* pairs;
    const uint8_t* bits;

    PlaneCursor(const uint8_t* record, int k)
        : nibbles(record + Panel::nibble_at + (Panel::byte_bytes > 0 ? 16 : 8) * k),
          pairs(record + Panel::pair_at + 4 * k),
          bits(record + Panel::bit_at + 2 * k) {}
};

// The 4 x 16 stored values of one step, as unsigned bytes.
template <class S, class Panel, int Step>
static inline __attribute__((always_inline)) typename S::Bytes unpack_step(const PlaneCursor<Panel>& planes) {
    using I32 = typename S::I32;
    if constexpr (Panel::byte_bytes > 0) {
        return S::load_bytes(planes.nibbles + 64 * Step);
    } else {
        I32 value;
        if constexpr (Panel::nibble_bytes > 0) {
            const I32 line = S::load_line(planes.nibbles + 64 * (Step / 2));
            value = field<S, 4 * (Step % 2), 0, 0x0f0f0f0fu>(line);
        }
        if constexpr (Panel::pair_bytes > 0) {
            constexpr int to = Panel::nibble_bytes > 0 ? 4 : 0;
            const I32 line = S::load_line(planes.pairs + 64 * (Step / 4));
            const I32 pair = field<S, 2 * (Step % 4), to, 0x03030303u << to>(line);
            if constexpr (Panel::nibble_bytes > 0)
                value = S::or_int(value, pair);
            else
                value = pair;
        }
        if constexpr (Panel::bit_bytes > 0) {
            constexpr int to = Panel::bits - 1;
            const I32 line = S::load_line(planes.bits + 64 * (Step / 8));
            value = S::or_int(value, field<S, Step % 8, to, 0x01010101u << to>(line));
        }
        if constexpr (HasTable<Panel>)
            return S::look_up(S::as_bytes(value), Panel::table);
        else
            return S::as_bytes(value);
    }
}

// Formats whose stored bytes reach 128 need the wide product; it may take 128 off by itself.
template <class Panel>
constexpr bool is_wide = Panel::bits == 8 || HasTable<Panel>;

// All offsets are powers of two: a shift multiplies by them.
consteval int exponent_of(int power_of_two) {
    int exponent = 0;
    while (1 << exponent < power_of_two) ++exponent;
    if (1 << exponent != power_of_two) throw "the offset of a format must be a power of two";
    return exponent;
}

template <class S, class Panel>
constexpr int remaining_offset = Panel::offset - (is_wide<Panel> ? S::dot4_wide_offset : 0);

template <class S, class Panel>
static inline __attribute__((always_inline)) typename S::Dots dot_step(typename S::Dots dots, typename S::Bytes w,
                                                                       const int8_t* a) {
    if constexpr (is_wide<Panel>)
        return S::dot4_wide(dots, w, a);
    else
        return S::dot4(dots, w, a);
}

// After how many steps the dots must be added to a total, so that they can't overflow.
template <class S, class Panel>
constexpr int steps_per_total = is_wide<Panel> ? S::most_dot_steps_wide : S::most_dot_steps(Panel::bits);

// -- K family: integer scales of sub-blocks, one float scale per 256 ---------------------------------------------------

template <class S, class Panel>
struct SubBlockScales {
    using I32 = typename S::I32;
    static constexpr int vectors = Panel::num_sub_blocks / 4;
    I32 scale[vectors];    // byte i of dword r of vector v: sub-block 4v + i of row r
    I32 min[vectors];      // what multiplies the activation sums: the minimums, or the scales where there is an offset

    explicit SubBlockScales(const uint8_t* record) {
        const uint8_t* at = record + Panel::scale_at;
        if constexpr (Panel::scaling == Scaling::six_bit_min) {
            const I32 low = S::set1_int(0x3f3f3f3f);
            const I32 line0 = S::load_int(at), line1 = S::load_int(at + 64), line2 = S::load_int(at + 128);
            scale[0] = S::and_int(line0, low);
            scale[1] = S::and_int(line1, low);
            min[0] = S::and_int(line2, low);
            min[1] = S::or_int(field<S, 6, 0, 0x03030303u>(line0),
                               S::or_int(field<S, 6, 2, 0x0c0c0c0cu>(line1), field<S, 6, 4, 0x30303030u>(line2)));
        } else {
            for (int v = 0; v < vectors; ++v) {
                const I32 line = S::load_int(at + 64 * v);
                if constexpr (Panel::scaling == Scaling::four_bit_min) {
                    scale[v] = S::and_int(line, S::set1_int(0x0f0f0f0f));
                    min[v] = field<S, 4, 0, 0x0f0f0f0fu>(line);
                } else {
                    scale[v] = line;
                    min[v] = line;
                }
            }
        }
    }

    // Sum over the sub-blocks of their minimum times the sum of the activations there.
    I32 minimum_of(const SuperActivation& activation) const {
        const int16_t* sums = Panel::sub_block == 16 ? activation.sum16 : activation.sum32;
        const I32 low = S::set1_int(0x00ff00ff);
        I32 out = S::zero_int();
        for (int v = 0; v < vectors; ++v) {
            out = S::dot2(out, S::and_int(min[v], low), sums + 4 * v);
            out = S::dot2(out, S::and_int(S::template shift_right<8>(min[v]), low), sums + 4 * v + 2);
        }
        return out;
    }

    // The scale of sub-block 4 * vector + I.
    template <int I>
    typename S::Scale scale_of(int vector) const {
        I32 byte = scale[vector];
        if constexpr (I > 0) byte = S::template shift_right<8 * I>(byte);
        if constexpr (I < 3) byte = S::and_int(byte, S::set1_int(255));
        if constexpr (!has_minimum(Panel::scaling)) byte = S::sub_int(byte, S::set1_int(128));
        return S::as_scale(byte);
    }

    // All of them one by one, for the loop over sub-blocks.
    void spread(typename S::Scale (&out)[Panel::num_sub_blocks]) const {
        for (int v = 0; v < vectors; ++v)
            unroll<4>([&]<int I>() __attribute__((always_inline)) { out[4 * v + I] = scale_of<I>(v); });
    }
};

// The float scales of a super-block, and the one float step that adds its exact integer sums to a result.
template <class S, class Panel>
struct SuperBlockFloats {
    typename S::F32 d, d_min;

    explicit SuperBlockFloats(const uint8_t* record)
        : d(S::load_half(reinterpret_cast<const uint16_t*>(record + Panel::d_at))), d_min(d) {
        if constexpr (has_minimum(Panel::scaling))
            d_min = S::load_half(reinterpret_cast<const uint16_t*>(record + Panel::min_at));
    }
    typename S::F32 add_to(typename S::F32 acc, typename S::I32 total, typename S::I32 minimum,
                           float activation_scale) const {
        typename S::F32 value = S::mul(S::to_float(total), d);
        if constexpr (has_minimum(Panel::scaling)) value = S::fnma(S::to_float(minimum), d_min, value);
        return S::fma(value, S::set1(activation_scale), acc);
    }
};

// The dots of a token with the values of some steps, in as many independent chains as hide the latency of a product.
template <class S, class Panel, int T>
struct TileDots {
    static constexpr int chains = Panel::sub_block == 16 || T > 6 ? 1 : S::dot_chains;
    typename S::Dots dots[chains][T];

    // Step `Step` of those that are summed before they are added to a total; `q` is the first token's activations of it.
    template <int Step>
    void add(typename S::Bytes w, const int8_t* q) {
        if constexpr (Step < chains)
            for (int t = 0; t < T; ++t) dots[Step][t] = S::zero_dots();
        for (int t = 0; t < T; ++t)
            dots[Step % chains][t] =
                dot_step<S, Panel>(dots[Step % chains][t], w, q + size_t(t) * activation_record_bytes);
    }
    // What `Steps` steps have summed up to.
    template <int Steps>
    typename S::Dots sum(int t) const {
        if constexpr (chains == 2 && Steps > 1)
            return S::add_int(dots[0][t], dots[1][t]);
        else
            return dots[0][t];
    }
};

// Brings what of the weights is needed next nearer while a tile works, a few lines after every step.
template <class S, bool Wanted, int LinesPerTurn>
static inline __attribute__((always_inline)) void prefetch_lines(const uint8_t* ahead, int step) {
    if constexpr (Wanted)
        for (int line = step * LinesPerTurn / 8; line < (step + 1) * LinesPerTurn / 8; ++line)
            S::prefetch(ahead + 64 * line);
}

template <class S, class Panel, int T, bool Prefetch>
static inline __attribute__((always_inline)) void multiply_record_super(const uint8_t* record, const uint8_t* input,
                                                                        typename S::F32 (&acc)[T],
                                                                        const uint8_t* ahead) {
    using I32 = typename S::I32;
    const auto* activation = reinterpret_cast<const SuperActivation*>(input);    // of the tile's tokens, in a row
    const SubBlockScales<S, Panel> scales(record);
    typename S::Scale scale[Panel::num_sub_blocks];
    scales.spread(scale);
    constexpr int turns = Panel::block / 32;    // the planes repeat after 32 values, so that all shifts are constants
    constexpr int steps = Panel::sub_block / 4;
    constexpr int per_total = steps_per_total<S, Panel> < steps ? steps_per_total<S, Panel> : steps;
    constexpr int lines_per_turn = (Panel::record_bytes + 64 * turns - 1) / (64 * turns);

    I32 total[T];
    for (int t = 0; t < T; ++t) total[t] = S::zero_int();
    for (int turn = 0; turn < turns; ++turn) {
        const PlaneCursor<Panel> planes(record, 32 * turn);
        const int8_t* q = activation->q + 32 * turn;
        TileDots<S, Panel, T> dots;
        unroll<8>([&]<int Step>() __attribute__((always_inline)) {
            prefetch_lines<S, Prefetch, lines_per_turn>(ahead + 64 * lines_per_turn * turn, Step);
            constexpr int in_sub_block = Step % steps;
            dots.template add<in_sub_block % per_total>(unpack_step<S, Panel, Step>(planes), q + 4 * Step);
            if constexpr ((in_sub_block + 1) % per_total == 0 || in_sub_block + 1 == steps) {
                const typename S::Scale by = scale[turn * (8 / steps) + Step / steps];
                for (int t = 0; t < T; ++t)
                    total[t] = S::add_scaled(total[t], dots.template sum<in_sub_block % per_total + 1>(t), by);
            }
        });
    }

    const SuperBlockFloats<S, Panel> floats(record);
    constexpr int offset = remaining_offset<S, Panel>;
    for (int t = 0; t < T; ++t) {
        const I32 minimum = scales.minimum_of(activation[t]);
        I32 exact = total[t];
        if constexpr (!has_minimum(Panel::scaling) && offset != 0) {
            // The scales in `minimum` still have their bias of 128.
            const I32 unbiased = S::sub_int(minimum, S::template shift_left<7>(S::set1_int(activation[t].sum)));
            exact = S::sub_int(exact, S::template shift_left<exponent_of(offset)>(unbiased));
        }
        acc[t] = floats.add_to(acc[t], exact, minimum, activation[t].scale);
    }
}

// -- blocks of 32 with a float scale ---------------------------------------------------------------------------------

// 2^(e - 128): MXFP4's exponent, halved because its values are stored doubled.
template <class S>
static inline typename S::F32 half_exponent(const uint8_t* exponents) {
    const typename S::I32 e = S::widen_unsigned(exponents);
    const typename S::F32 power = S::bits_to_float(S::template shift_left<23>(e));    // 2^(e - 127), but 0 for e = 0
    const typename S::F32 lowest = S::bits_to_float(S::set1_int(0x00400000));         // 2^-127
    return S::mul(S::select(S::less(S::to_float(e), S::set1(0.5f)), lowest, power), S::set1(0.5f));
}

template <class S, class Panel, int T, bool Prefetch>
static inline __attribute__((always_inline)) void multiply_record_block(const uint8_t* record, const uint8_t* input,
                                                                        int block, typename S::F32 (&acc)[T],
                                                                        const uint8_t* ahead) {
    using I32 = typename S::I32;
    using F32 = typename S::F32;
    const auto* activation = reinterpret_cast<const BlockActivation*>(input);
    constexpr int lines = (Panel::record_bytes + 63) / 64;
    constexpr int per_total = steps_per_total<S, Panel> < 8 ? steps_per_total<S, Panel> : 8;

    const PlaneCursor<Panel> planes(record, 0);
    const int8_t* q = activation->q + 32 * block;
    I32 total[T];
    TileDots<S, Panel, T> dots;
    unroll<8>([&]<int Step>() __attribute__((always_inline)) {
        prefetch_lines<S, Prefetch, lines>(ahead, Step);
        dots.template add<Step % per_total>(unpack_step<S, Panel, Step>(planes), q + 4 * Step);
        if constexpr ((Step + 1) % per_total == 0 || Step == 7)
            for (int t = 0; t < T; ++t) {
                const auto sum = dots.template sum<Step % per_total + 1>(t);
                total[t] = S::add_dots(Step < per_total ? S::zero_int() : total[t], sum);
            }
    });

    F32 d;
    if constexpr (Panel::scaling == Scaling::block_exponent)
        d = half_exponent<S>(record + Panel::d_at);
    else
        d = S::load_half(reinterpret_cast<const uint16_t*>(record + Panel::d_at));
    constexpr int offset = remaining_offset<S, Panel>;
    for (int t = 0; t < T; ++t) {
        const F32 scale = S::set1(activation[t].scale[block]);
        const I32 sum = S::set1_int(activation[t].sum[block]);
        I32 exact = total[t];
        if constexpr (offset != 0) exact = S::sub_int(exact, S::template shift_left<exponent_of(offset)>(sum));
        acc[t] = S::fma(S::to_float(exact), S::mul(d, scale), acc[t]);
        if constexpr (has_minimum(Panel::scaling)) {
            const F32 m = S::load_half(reinterpret_cast<const uint16_t*>(record + Panel::min_at));
            acc[t] = S::fma(m, S::mul(scale, S::to_float(sum)), acc[t]);
        }
    }
}

// -- tiles -----------------------------------------------------------------------------------------------------------

// Where there are several tiles of tokens, a block of panels meets them chunk by chunk of k: the chunk of the panels stays
// in the second-level cache while all tiles pass, and a tile's activations in the first while all panels pass. Shorter
// chunks, whose panels would stay in the first as well, were slower: sums go to the scratch and come back more often.
constexpr int super_blocks_per_chunk = 8;

// How far ahead of the weights in use they are prefetched, in bytes, where there is one tile. Where there are several, the
// first one fetches the next chunk.
constexpr size_t prefetch_distance = 7168;

template <class S, class Panel, int T, bool Prefetch>
static void multiply_tile(const LinearTask& task, const uint8_t* panel, int token, int first, int last,
                          size_t distance, float* partial) {
    typename S::F32 acc[T];
    for (int t = 0; t < T; ++t) acc[t] = first == 0 ? S::zero() : S::load(partial + 16 * t);
    const size_t stride = size_t(task.input_tokens) * activation_record_bytes;
    const uint8_t* input = task.input + size_t(first) * stride + size_t(token) * activation_record_bytes;
    if constexpr (Panel::k_family) {
        const uint8_t* record = panel + size_t(first) * Panel::record_bytes;
        for (int s = first; s < last; ++s, record += Panel::record_bytes, input += stride)
            multiply_record_super<S, Panel, T, Prefetch>(record, input, acc, record + distance);
    } else {
        const int num_blocks = task.columns / 32;
        const uint8_t* record = panel + size_t(first) * 8 * Panel::record_bytes;
        for (int s = first; s < last; ++s, input += stride) {
            const int blocks = num_blocks - 8 * s < 8 ? num_blocks - 8 * s : 8;
            for (int block = 0; block < blocks; ++block, record += Panel::record_bytes)
                multiply_record_block<S, Panel, T, Prefetch>(record, input, block, acc, record + distance);
        }
    }
    for (int t = 0; t < T; ++t) S::store(partial + 16 * t, acc[t]);
}

template <class S, class Panel, int T, bool Prefetch>
static void multiply_tile_of(int tokens, const LinearTask& task, const uint8_t* panel, int token, int first, int last,
                             size_t distance, float* partial) {
    if constexpr (T > 1)
        if (tokens < T)
            return multiply_tile_of<S, Panel, T - 1, Prefetch>(tokens, task, panel, token, first, last, distance,
                                                               partial);
    multiply_tile<S, Panel, T, Prefetch>(task, panel, token, first, last, distance, partial);
}

// Moves 16 results a token from `results` to their places, adding the bias.
template <class S>
static void write_results(const LinearTask& task, int panel, const float* results) {
    const int row = panel * panel_rows;
    const int count = task.rows - row < panel_rows ? task.rows - row : panel_rows;
    const typename S::F32 bias = task.bias ? S::load_first(task.bias + row, count) : S::zero();
    for (int t = 0; t < task.num_tokens; ++t) {
        typename S::F32 value = S::load(results + 16 * t);
        if (task.bias) value = S::add(value, bias);
        float* out = task.out + size_t(task.first_token + t) * task.out_stride + row;
        if (count == panel_rows)
            S::store(out, value);
        else
            S::store_first(out, value, count);
    }
}

template <class S, class Panel>
static void multiply_one_tile(const LinearTask& task, int super_blocks) {
    for (int p = task.first_panel; p < task.first_panel + task.num_panels; ++p) {
        const uint8_t* panel = task.panels + size_t(p) * task.panel_bytes;
        // Halves of a panel share its bytes while they are near.
        const int chunk = S::num_linear_parts == 1 ? super_blocks : super_blocks_per_chunk;
        for (int first = 0; first < super_blocks; first += chunk) {
            const int last = first + chunk < super_blocks ? first + chunk : super_blocks;
            S::for_each_linear_part([&]<class Part>() {
                multiply_tile_of<Part, Panel, S::max_linear_tile, true>(task.num_tokens, task, panel, task.first_token,
                                                                        first, last, prefetch_distance, task.scratch);
            });
        }
        write_results<S>(task, p, task.scratch);
    }
}

template <class S, class Panel>
static void multiply_tiles(const LinearTask& task, int super_blocks, int tiles) {
    constexpr size_t chunk_bytes = size_t(super_blocks_per_chunk) * (super_block / Panel::block) * Panel::record_bytes;
    const size_t panel_results = 16 * size_t(task.num_tokens);
    const int end_panel = task.first_panel + task.num_panels;
    for (int begin_panel = task.first_panel; begin_panel < end_panel; begin_panel += panels_per_block) {
        const int panels = end_panel - begin_panel < panels_per_block ? end_panel - begin_panel : panels_per_block;
        for (int first = 0; first < super_blocks; first += super_blocks_per_chunk) {
            const int last = first + super_blocks_per_chunk < super_blocks ? first + super_blocks_per_chunk : super_blocks;
            S::for_each_linear_part([&]<class Part>() {
                for (int i = 0; i < tiles; ++i) {    // tiles as equal as they can be
                    const int begin = int(int64_t(task.num_tokens) * i / tiles);
                    const int end = int(int64_t(task.num_tokens) * (i + 1) / tiles);
                    const auto multiply = i == 0 ? multiply_tile_of<Part, Panel, S::max_linear_tile, true>
                                                 : multiply_tile_of<Part, Panel, S::max_linear_tile, false>;
                    for (int p = 0; p < panels; ++p)
                        multiply(end - begin, task, task.panels + size_t(begin_panel + p) * task.panel_bytes,
                                 task.first_token + begin, first, last, chunk_bytes,
                                 task.scratch + size_t(p) * panel_results + 16 * size_t(begin));
                }
            });
        }
        for (int p = 0; p < panels; ++p)
            write_results<S>(task, begin_panel + p, task.scratch + size_t(p) * panel_results);
    }
}

template <class S, TensorType Type>
static void linear_quantised(const LinearTask& task) {
    using Panel = PanelOf<Type>;
    const int super_blocks = (task.columns + super_block - 1) / super_block;
    const int tiles = (task.num_tokens + S::max_linear_tile - 1) / S::max_linear_tile;
    if (tiles == 1)
        multiply_one_tile<S, Panel>(task, super_blocks);
    else
        multiply_tiles<S, Panel>(task, super_blocks, tiles);
}

}    // namespace candlewick
