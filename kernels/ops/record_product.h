// One record of a panel times the int8 activations of a tile's tokens.
//
// For one row, everything inside a block of k (256 or 32) is exact integer arithmetic; then one float step adds it to the
// result. Which tokens stand in the tile changes nothing.
#pragma once

#include "formats/panel_layout.h"
#include "ops/panel_record.h"
#include "ops/unroll.h"

namespace candlewick {

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

// The dots of a token with the values of some steps, in as many independent chains as hide the latency of a product.
template <class S, class Panel, int T>
struct TileDots {
    static constexpr int chains = Panel::sub_block == 16 || T > 6 ? 1 : S::dot_chains;
    // The second chain has the odd steps. Where it may take the upper halves of bytes as they are, that saves a shift a
    // step; its sums are 16 times as large, and those of a sub-block of 32 fit into 16 bits without that.
    static constexpr bool raised = chains == 2 && Panel::bits == 4 && !is_wide<Panel>;
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
        if constexpr (raised && Steps > 1)
            return S::add_int(dots[0][t], S::template shift_right_signed<4>(dots[1][t]));
        else if constexpr (chains == 2 && Steps > 1)
            return S::add_int(dots[0][t], dots[1][t]);
        else
            return dots[0][t];
    }
    // `total` and that many steps, times the scale of their sub-block.
    template <int Steps>
    typename S::I32 add_to(typename S::I32 total, int t, typename S::Scale scale) const {
        if constexpr (raised)
            return S::add_scaled_halves(total, dots[0][t], S::template shift_left<12>(dots[1][t]), scale);
        else
            return S::add_scaled(total, sum<Steps>(t), scale);
    }
};

// Brings what of the weights is needed next nearer while a tile works, a few lines after every step.
template <class S, bool Wanted, int LinesPerTurn>
static inline __attribute__((always_inline)) void prefetch_lines(const uint8_t* ahead, int step) {
    if constexpr (Wanted)
        for (int line = step * LinesPerTurn / 8; line < (step + 1) * LinesPerTurn / 8; ++line)
            S::prefetch(ahead + 64 * line);
}

// A record of the K family: a super-block of 256.
template <class S, class Panel, int T, bool Prefetch>
static inline __attribute__((always_inline)) void multiply_record_super(const uint8_t* record, const uint8_t* input,
                                                                        typename S::F32 (&acc)[T],
                                                                        const uint8_t* ahead) {
    using I32 = typename S::I32;
    const auto* activation = reinterpret_cast<const SuperActivation*>(input);    // of the tile's tokens, in a row
    const SubBlockScales<S, Panel> scales(record);
    typename S::Scale scale[Panel::num_sub_blocks];
    scales.template spread<TileDots<S, Panel, T>::raised>(scale);
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
            dots.template add<in_sub_block % per_total>(unpack_step<S, Panel, Step, dots.raised>(planes), q + 4 * Step);
            if constexpr ((in_sub_block + 1) % per_total == 0 || in_sub_block + 1 == steps) {
                const typename S::Scale by = scale[turn * (8 / steps) + Step / steps];
                for (int t = 0; t < T; ++t)
                    total[t] = dots.template add_to<in_sub_block % per_total + 1>(total[t], t, by);
            }
        });
    }

    const SubBlockMinimums<S, Panel> minimums(record);
    const SuperBlockFloats<S, Panel> floats(record);
    constexpr int offset = remaining_offset<S, Panel>;
    for (int t = 0; t < T; ++t) {
        const I32 minimum = minimums.times_sums(activation[t]);
        I32 exact = total[t];
        if constexpr (!has_minimum(Panel::scaling) && offset != 0) {
            // The scales in `minimum` still have their bias of 128.
            const I32 unbiased = S::sub_int(minimum, S::template shift_left<7>(S::set1_int(activation[t].sum)));
            exact = S::sub_int(exact, S::template shift_left<exponent_of(offset)>(unbiased));
        }
        acc[t] = floats.add_to(acc[t], exact, minimum, activation[t].scale);
    }
}

// A record of the other formats: block `block` of the eight of a super-block.
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
        dots.template add<Step % per_total>(unpack_step<S, Panel, Step, dots.raised>(planes), q + 4 * Step);
        if constexpr ((Step + 1) % per_total == 0 || Step == 7)
            for (int t = 0; t < T; ++t) {
                const auto sum = dots.template sum<Step % per_total + 1>(t);
                total[t] = S::add_dots(Step < per_total ? S::zero_int() : total[t], sum);
            }
    });

    const F32 d = block_scale<S, Panel>(record);
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

}    // namespace candlewick
