// How a quantised matrix lies in memory: panels of 16 output rows, so that each 32-bit lane of a 512-bit register is one
// output row and nothing is ever summed across lanes.
//
// A panel is a sequence of records, one per block of k (256 for the K family, 32 for the others). A record holds
//   the bits of the weights, as planes;
//   the integer scales (and minimums) of the sub-blocks, where the format has them;
//   the float scale (and minimum) of the block, one fp16 a row.
//
// Planes. A step is 4 consecutive k; in every 64-byte line, dword r belongs to row r and its byte b to k = 4 * step + b.
//   nibble plane   two steps a line: the low nibble of a byte is the even step's value
//   pair plane     four steps a line, two bits each, the first step's lowest
//   bit plane      eight steps a line, one bit each
//   six plane      four steps in three lines: a line's low six bits are one step, its upper two a third of the fourth's
//   byte plane     one step a line
// A format of 2 bits is a pair plane; 3: pair + bit plane; 4: nibble; 5: nibble + bit; 6: six plane; 8: byte.
//
// Every format keeps its own numbers: packing loses nothing.
#pragma once

#include <cstddef>
#include <cstdint>

#include "formats/tensor_type.h"

namespace candlewick {

constexpr int panel_rows = 16;
constexpr int super_block = 256;    // k in a super-block: activations always come in records of this many

// What the scales of a format look like.
enum class Scaling {
    six_bit_min,      // 8 sub-blocks of 32, unsigned 6-bit scale and minimum; fp16 d and dmin: Q4_K, Q5_K
    four_bit_min,     // 16 sub-blocks of 16, unsigned 4-bit scale and minimum; fp16 d and dmin: Q2_K
    signed_16,        // 16 sub-blocks of 16, signed 8-bit scale (stored + 128); fp16 d: Q3_K, Q6_K
    signed_32,        // 8 sub-blocks of 32, signed 8-bit scale (stored + 128); fp16 d: IQ4_XS
    block,            // blocks of 32 with fp16 d: Q4_0, Q5_0, Q8_0, IQ4_NL
    block_min,        // blocks of 32 with fp16 d and minimum: Q4_1, Q5_1
    block_exponent,   // blocks of 32 with an exponent byte: MXFP4
};

constexpr bool is_k_family(Scaling s) {
    return s == Scaling::six_bit_min || s == Scaling::four_bit_min || s == Scaling::signed_16 || s == Scaling::signed_32;
}
constexpr bool has_minimum(Scaling s) {
    return s == Scaling::six_bit_min || s == Scaling::four_bit_min || s == Scaling::block_min;
}

// The values of non-linear 4-bit formats, + 128 to be unsigned (ggml-common.h: kvalues_iq4nl, kvalues_mxfp4).
alignas(16) inline constexpr uint8_t iq4_table[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                                      129, 141, 153, 166, 181, 197, 217, 241};
alignas(16) inline constexpr uint8_t mxfp4_table[16] = {128, 129, 130, 131, 132, 134, 136, 140,
                                                        128, 127, 126, 125, 124, 122, 120, 116};

// A format's place in a record. `offset` is what to subtract from the stored unsigned value.
template <int Bits, Scaling Scales, int Offset>
struct PanelLayout {
    static constexpr int bits = Bits;
    static constexpr Scaling scaling = Scales;
    static constexpr int offset = Offset;
    static constexpr bool k_family = is_k_family(Scales);
    static constexpr int block = k_family ? 256 : 32;
    static constexpr int sub_block = Scales == Scaling::four_bit_min || Scales == Scaling::signed_16 ? 16 : 32;
    static constexpr int num_sub_blocks = block / sub_block;

    // Bytes of each plane for one step of 16 rows, times the steps of a block.
    static constexpr int steps = block / 4;
    static constexpr int nibble_bytes = Bits == 4 || Bits == 5 ? steps * 32 : 0;
    static constexpr int pair_bytes = Bits == 2 || Bits == 3 ? steps * 16 : 0;
    static constexpr int bit_bytes = Bits == 3 || Bits == 5 ? steps * 8 : 0;
    static constexpr int six_bytes = Bits == 6 ? steps * 48 : 0;
    static constexpr int byte_bytes = Bits == 8 ? steps * 64 : 0;

    // The nibble, six or byte plane comes first: no format has two of them.
    static constexpr int first_plane_bits = nibble_bytes > 0 ? 4 : six_bytes + byte_bytes > 0 ? Bits : 0;
    static constexpr int pair_at = nibble_bytes;
    static constexpr int bit_at = pair_at + pair_bytes;
    static constexpr int scale_at = bit_at + bit_bytes + six_bytes + byte_bytes;
    static constexpr int scale_bytes = Scales == Scaling::six_bit_min                                     ? 192
                                       : Scales == Scaling::four_bit_min || Scales == Scaling::signed_16 ? 256
                                       : Scales == Scaling::signed_32                                    ? 128
                                                                                                         : 0;
    static constexpr int d_at = scale_at + scale_bytes;
    static constexpr int d_bytes = Scales == Scaling::block_exponent ? 16 : 32;
    static constexpr int min_at = d_at + d_bytes;
    static constexpr int record_bytes = min_at + (has_minimum(Scales) ? 32 : 0);
};

template <TensorType>
struct PanelOf;
template <>
struct PanelOf<TensorType::q4_0> : PanelLayout<4, Scaling::block, 8> {};
template <>
struct PanelOf<TensorType::q4_1> : PanelLayout<4, Scaling::block_min, 0> {};
template <>
struct PanelOf<TensorType::q5_0> : PanelLayout<5, Scaling::block, 16> {};
template <>
struct PanelOf<TensorType::q5_1> : PanelLayout<5, Scaling::block_min, 0> {};
template <>
struct PanelOf<TensorType::q8_0> : PanelLayout<8, Scaling::block, 128> {};
template <>
struct PanelOf<TensorType::q2_k> : PanelLayout<2, Scaling::four_bit_min, 0> {};
template <>
struct PanelOf<TensorType::q3_k> : PanelLayout<3, Scaling::signed_16, 4> {};
template <>
struct PanelOf<TensorType::q4_k> : PanelLayout<4, Scaling::six_bit_min, 0> {};
template <>
struct PanelOf<TensorType::q5_k> : PanelLayout<5, Scaling::six_bit_min, 0> {};
template <>
struct PanelOf<TensorType::q6_k> : PanelLayout<6, Scaling::signed_16, 32> {};
template <>
struct PanelOf<TensorType::iq4_nl> : PanelLayout<4, Scaling::block, 128> {
    static constexpr const uint8_t* table = iq4_table;
};
template <>
struct PanelOf<TensorType::iq4_xs> : PanelLayout<4, Scaling::signed_32, 128> {
    static constexpr const uint8_t* table = iq4_table;
};
template <>
struct PanelOf<TensorType::mxfp4> : PanelLayout<4, Scaling::block_exponent, 128> {
    static constexpr const uint8_t* table = mxfp4_table;
};

template <class Panel>
concept HasTable = requires { Panel::table; };

// Calls function.template operator()<TensorType>() for the quantised type, or returns `otherwise` for the float ones.
template <class Result, class Function>
constexpr Result with_quantised_type(TensorType type, Result otherwise, Function&& function) {
    switch (type) {
        case TensorType::q4_0: return function.template operator()<TensorType::q4_0>();
        case TensorType::q4_1: return function.template operator()<TensorType::q4_1>();
        case TensorType::q5_0: return function.template operator()<TensorType::q5_0>();
        case TensorType::q5_1: return function.template operator()<TensorType::q5_1>();
        case TensorType::q8_0: return function.template operator()<TensorType::q8_0>();
        case TensorType::q2_k: return function.template operator()<TensorType::q2_k>();
        case TensorType::q3_k: return function.template operator()<TensorType::q3_k>();
        case TensorType::q4_k: return function.template operator()<TensorType::q4_k>();
        case TensorType::q5_k: return function.template operator()<TensorType::q5_k>();
        case TensorType::q6_k: return function.template operator()<TensorType::q6_k>();
        case TensorType::iq4_nl: return function.template operator()<TensorType::iq4_nl>();
        case TensorType::iq4_xs: return function.template operator()<TensorType::iq4_xs>();
        case TensorType::mxfp4: return function.template operator()<TensorType::mxfp4>();
        case TensorType::f32:
        case TensorType::f16:
        case TensorType::bf16: break;
    }
    return otherwise;
}

// How a matrix wants its input. Floats are used as they are; quantised activations come in records of 256 k:
//   super: int8 with one float scale per 256, for the K family
//   block: int8 with one float scale per 32, for the formats whose weights are scaled per 32
enum class ActivationKind : int { floats = 0, super = 1, block = 2 };

constexpr size_t activation_record_bytes = 320;

struct SuperActivation {    // the sums let the products take minimums and offsets out again, exactly
    int8_t q[256];
    // Sums of 16 and of 32 values, in groups of four sub-blocks ordered 0 2 1 3: the pairs that dot2 wants.
    int16_t sum16[16];
    int16_t sum32[8];
    int32_t sum;
    float scale;
    uint8_t unused[8];
};
static_assert(sizeof(SuperActivation) == activation_record_bytes);

struct BlockActivation {
    int8_t q[256];
    float scale[8];
    int32_t sum[8];
};
static_assert(sizeof(BlockActivation) == activation_record_bytes);

constexpr ActivationKind activation_kind(TensorType type) {
    return with_quantised_type(type, ActivationKind::floats, []<TensorType T>() {
        return PanelOf<T>::k_family ? ActivationKind::super : ActivationKind::block;
    });
}

}    // namespace candlewick
