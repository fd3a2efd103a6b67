// A record of a panel as vectors: its weights step by step, its integer scales and its float scales. How they lie in
// memory is told in formats/panel_layout.h; what is computed with them, in record_product.h and linear_amx.h.
#pragma once

#include "formats/panel_layout.h"
#include "ops/unroll.h"

namespace candlewick {

// Brings a field of a byte from bit From to bit To and clears all else; Mask is the field at bit To, in every byte.
template <class S, int From, int To, uint32_t Mask>
static inline __attribute__((always_inline)) typename S::I32 field(typename S::I32 line) {
    typename S::I32 moved = line;
    if constexpr (From > To) moved = S::template shift_right<From - To>(line);
    if constexpr (From < To) moved = S::template shift_left<To - From>(line);
    return S::and_int(moved, S::set1_int(int32_t(Mask)));
}

// The fourth of four lines of six bits, of which the upper two bits of the three at `lines` hold a third each.
template <class S>
static inline __attribute__((always_inline)) typename S::I32 fourth_line(const uint8_t* lines) {
    return S::or_int(field<S, 6, 0, 0x03030303u>(S::load_line(lines)),
                     S::or_int(field<S, 6, 2, 0x0c0c0c0cu>(S::load_line(lines + 64)),
                               field<S, 6, 4, 0x30303030u>(S::load_line(lines + 128))));
}

// The planes of a record from value k on; k is a multiple of 32.
template <class Panel>
struct PlaneCursor {
    const uint8_t* first;    // the nibble, six or byte plane
    const uint8_t* pairs;
    const uint8_t* bits;

    PlaneCursor(const uint8_t* record, int k)
        : first(record + Panel::first_plane_bits * 2 * k),
          pairs(record + Panel::pair_at + 4 * k),
          bits(record + Panel::bit_at + 2 * k) {}
};

// The 4 x 16 stored values of one step, as unsigned bytes; those of a byte's upper half stay there if `Raised`, and are 16
// times as large.
template <class S, class Panel, int Step, bool Raised = false>
static inline __attribute__((always_inline)) typename S::Bytes unpack_step(const PlaneCursor<Panel>& planes) {
    using I32 = typename S::I32;
    if constexpr (Panel::byte_bytes > 0) {
        return S::load_bytes(planes.first + 64 * Step);
    } else if constexpr (Panel::six_bytes > 0) {
        const uint8_t* lines = planes.first + 192 * (Step / 4);
        constexpr int line = Step % 4;
        if constexpr (line < 3)
            return S::as_bytes(field<S, 0, 0, 0x3f3f3f3fu>(S::load_line(lines + 64 * line)));
        else
            return S::as_bytes(fourth_line<S>(lines));
    } else {
        I32 value;
        if constexpr (Panel::nibble_bytes > 0) {
            const I32 line = S::load_line(planes.first + 64 * (Step / 2));
            constexpr int from = 4 * (Step % 2), to = Raised ? from : 0;
            value = field<S, from, to, 0x0f0f0f0fu << to>(line);
        }
        if constexpr (Panel::pair_bytes > 0)
            value = field<S, 2 * (Step % 4), 0, 0x03030303u>(S::load_line(planes.pairs + 64 * (Step / 4)));
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

// -- K family: integer scales of sub-blocks, one float scale per 256 ---------------------------------------------------

// Byte i of dword r of vector v: sub-block 4v + i of row r.
template <class S, class Panel>
struct SubBlockScales {
    using I32 = typename S::I32;
    static constexpr int vectors = Panel::num_sub_blocks / 4;
    I32 scale[vectors];

    explicit SubBlockScales(const uint8_t* record) {
        for (int v = 0; v < vectors; ++v) {
            scale[v] = S::load_int(record + Panel::scale_at + 64 * v);
            if constexpr (Panel::scaling == Scaling::six_bit_min)
                scale[v] = S::and_int(scale[v], S::set1_int(0x3f3f3f3f));
            if constexpr (Panel::scaling == Scaling::four_bit_min)
                scale[v] = S::and_int(scale[v], S::set1_int(0x0f0f0f0f));
        }
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

    // All of them one by one, for the loop over sub-blocks; `Paired`: in both halves of a lane, each 16 bits.
    template <bool Paired>
    void spread(typename S::Scale (&out)[Panel::num_sub_blocks]) const {
        for (int v = 0; v < vectors; ++v)
            unroll<4>([&]<int I>() __attribute__((always_inline)) {
                if constexpr (Paired)
                    out[4 * v + I] = S::template byte_in_halves<I>(scale[v]);
                else
                    out[4 * v + I] = scale_of<I>(v);
            });
    }
};

// What multiplies the sums of the activations: the minimums of the sub-blocks, or their scales where there is an offset.
template <class S, class Panel>
struct SubBlockMinimums {
    using I32 = typename S::I32;
    static constexpr int vectors = Panel::num_sub_blocks / 4;
    // Sub-blocks 4v and 4v + 2, and 4v + 1 and 4v + 3, as pairs of 16 bits.
    I32 even[vectors], odd[vectors];

    explicit SubBlockMinimums(const uint8_t* record) {
        const uint8_t* at = record + Panel::scale_at;
        for (int v = 0; v < vectors; ++v) {
            I32 bytes;
            if constexpr (Panel::scaling != Scaling::six_bit_min)
                bytes = S::load_int(at + 64 * v);
            else if (v == 0)
                bytes = S::and_int(S::load_int(at + 128), S::set1_int(0x3f3f3f3f));
            else
                bytes = fourth_line<S>(at);
            if constexpr (Panel::scaling == Scaling::four_bit_min) bytes = field<S, 4, 0, 0x0f0f0f0fu>(bytes);
            const I32 low = S::set1_int(0x00ff00ff);
            even[v] = S::and_int(bytes, low);
            odd[v] = S::and_int(S::template shift_right<8>(bytes), low);
        }
    }

    // Sum over the sub-blocks of their minimum times the sum of the activations there.
    I32 times_sums(const SuperActivation& activation) const {
        const int16_t* sums = Panel::sub_block == 16 ? activation.sum16 : activation.sum32;
        I32 out = S::zero_int();
        for (int v = 0; v < vectors; ++v) {
            out = S::dot2(out, even[v], sums + 4 * v);
            out = S::dot2(out, odd[v], sums + 4 * v + 2);
        }
        return out;
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

// -- blocks of 32 with a float scale ---------------------------------------------------------------------------------

// 2^(e - 128): MXFP4's exponent, halved because its values are stored doubled.
template <class S>
static inline typename S::F32 half_exponent(const uint8_t* exponents) {
    const typename S::I32 e = S::widen_unsigned(exponents);
    const typename S::F32 power = S::bits_to_float(S::template shift_left<23>(e));    // 2^(e - 127), but 0 for e = 0
    const typename S::F32 lowest = S::bits_to_float(S::set1_int(0x00400000));         // 2^-127
    return S::mul(S::select(S::less(S::to_float(e), S::set1(0.5f)), lowest, power), S::set1(0.5f));
}

// The float scales of a block of 32.
template <class S, class Panel>
static inline typename S::F32 block_scale(const uint8_t* record) {
    if constexpr (Panel::scaling == Scaling::block_exponent)
        return half_exponent<S>(record + Panel::d_at);
    else
        return S::load_half(reinterpret_cast<const uint16_t*>(record + Panel::d_at));
}

}    // namespace candlewick
