// The quantised blocks as they stand in GGUF files (ggml-common.h), decoded to plain integers without loss.
//
// Every format becomes: unsigned values q, unsigned or biased integer scales and minimums, and the bits of its floats.
#pragma once

#include <cstdint>
#include <cstring>

#include "formats/panel_layout.h"

namespace candlewick {

// One row's share of a record.
template <class Panel>
struct DecodedBlock {
    alignas(64) uint8_t q[Panel::block];
    uint8_t scale[16];    // signed scales + 128
    uint8_t min[16];
    uint16_t d;           // fp16, or the exponent byte
    uint16_t m;           // fp16
};

// Bytes of one block of the type in a file; PanelOf<T>::block gives its elements.
template <TensorType T>
constexpr size_t gguf_block_bytes() {
    switch (T) {
        case TensorType::q4_0: return 18;
        case TensorType::q4_1: return 20;
        case TensorType::q5_0: return 22;
        case TensorType::q5_1: return 24;
        case TensorType::q8_0: return 34;
        case TensorType::q2_k: return 84;
        case TensorType::q3_k: return 110;
        case TensorType::q4_k: return 144;
        case TensorType::q5_k: return 176;
        case TensorType::q6_k: return 210;
        case TensorType::iq4_nl: return 18;
        case TensorType::iq4_xs: return 136;
        case TensorType::mxfp4: return 17;
        default: return 0;
    }
}

template <TensorType T>
void decode_block(const uint8_t* source, DecodedBlock<PanelOf<T>>& out);

namespace gguf {

inline uint16_t load_u16(const uint8_t* p) { return uint16_t(p[0] | (p[1] << 8)); }
inline uint32_t load_u32(const uint8_t* p) { return uint32_t(load_u16(p)) | (uint32_t(load_u16(p + 2)) << 16); }

// 32 values: the low nibbles of 16 bytes, then their high nibbles.
inline void nibbles_32(const uint8_t* source, uint8_t* q) {
    for (int i = 0; i < 16; ++i) q[i] = source[i] & 15;
    for (int i = 0; i < 16; ++i) q[16 + i] = source[i] >> 4;
}

// Bit i of `bits` becomes bit 4 of value i.
inline void add_fifth_bits(uint32_t bits, uint8_t* q) {
    for (int i = 0; i < 32; ++i) q[i] = uint8_t(q[i] | (((bits >> i) & 1u) << 4));
}

// 256 values: of each 32 bytes first all low nibbles, then all high nibbles.
inline void nibbles_256(const uint8_t* source, uint8_t* q) {
    for (int group = 0; group < 4; ++group) {
        for (int i = 0; i < 32; ++i) q[64 * group + i] = source[32 * group + i] & 15;
        for (int i = 0; i < 32; ++i) q[64 * group + 32 + i] = source[32 * group + i] >> 4;
    }
}

// 256 values: of each 32 bytes four groups of 32, two bits each.
inline void pairs_256(const uint8_t* source, uint8_t* q) {
    for (int group = 0; group < 8; ++group)
        for (int i = 0; i < 32; ++i) q[32 * group + i] = (source[32 * (group / 4) + i] >> (2 * (group % 4))) & 3;
}

// The 6-bit scales and minimums of Q4_K and Q5_K, 8 of each in 12 bytes.
inline void six_bit_scales(const uint8_t* source, uint8_t* scale, uint8_t* min) {
    for (int i = 0; i < 4; ++i) {
        scale[i] = source[i] & 63;
        min[i] = source[i + 4] & 63;
        scale[i + 4] = uint8_t((source[i + 8] & 15) | ((source[i] >> 6) << 4));
        min[i + 4] = uint8_t((source[i + 8] >> 4) | ((source[i + 4] >> 6) << 4));
    }
}

}    // namespace gguf

template <>
inline void decode_block<TensorType::q4_0>(const uint8_t* s, DecodedBlock<PanelOf<TensorType::q4_0>>& out) {
    out.d = gguf::load_u16(s);
    gguf::nibbles_32(s + 2, out.q);
}

template <>
inline void decode_block<TensorType::q4_1>(const uint8_t* s, DecodedBlock<PanelOf<TensorType::q4_1>>& out) {
    out.d = gguf::load_u16(s);
    out.m = gguf::load_u16(s + 2);
    gguf::nibbles_32(s + 4, out.q);
}

template <>
inline void decode_block<TensorType::q5_0>(const uint8_t* s, DecodedBlock<PanelOf<TensorType::q5_0>>& out) {
    out.d = gguf::load_u16(s);
    gguf::nibbles_32(s + 6, out.q);
    gguf::add_fifth_bits(gguf::load_u32(s + 2), out.q);
}

template <>
inline void decode_block<TensorType::q5_1>(const uint8_t* s, DecodedBlock<PanelOf<TensorType::q5_1>>& out) {
    out.d = gguf::load_u16(s);
    out.m = gguf::load_u16(s + 2);
    gguf::nibbles_32(s + 8, out.q);
    gguf::add_fifth_bits(gguf::load_u32(s + 4), out.q);
}

template <>
inline void decode_block<TensorType::q8_0>(const uint8_t* s, DecodedBlock<PanelOf<TensorType::q8_0>>& out) {
    out.d = gguf::load_u16(s);
    for (int i = 0; i < 32; ++i) out.q[i] = uint8_t(s[2 + i] ^ 0x80);
}

template <>
inline void decode_block<TensorType::iq4_nl>(const uint8_t* s, DecodedBlock<PanelOf<TensorType::iq4_nl>>& out) {
    out.d = gguf::load_u16(s);
    gguf::nibbles_32(s + 2, out.q);
}

template <>
inline void decode_block<TensorType::mxfp4>(const uint8_t* s, DecodedBlock<PanelOf<TensorType::mxfp4>>& out) {
    out.d = s[0];
    gguf::nibbles_32(s + 1, out.q);
}

template <>
inline void decode_block<TensorType::q2_k>(const uint8_t* s, DecodedBlock<PanelOf<TensorType::q2_k>>& out) {
    for (int i = 0; i < 16; ++i) {
        out.scale[i] = s[i] & 15;
        out.min[i] = s[i] >> 4;
    }
    gguf::pairs_256(s + 16, out.q);
    out.d = gguf::load_u16(s + 80);
    out.m = gguf::load_u16(s + 82);
}

template <>
inline void decode_block<TensorType::q3_k>(const uint8_t* s, DecodedBlock<PanelOf<TensorType::q3_k>>& out) {
    gguf::pairs_256(s + 32, out.q);
    for (int group = 0; group < 8; ++group)
        for (int i = 0; i < 32; ++i)
            out.q[32 * group + i] = uint8_t(out.q[32 * group + i] | (((s[i] >> group) & 1) << 2));
    const uint8_t* scales = s + 96;    // 16 of 6 bits: 8 bytes of low nibbles, 4 bytes of high pairs
    for (int i = 0; i < 16; ++i) {
        const int low = i < 8 ? scales[i] & 15 : scales[i - 8] >> 4;
        const int high = (scales[8 + i % 4] >> (2 * (i / 4))) & 3;
        out.scale[i] = uint8_t((low | (high << 4)) - 32 + 128);
    }
    out.d = gguf::load_u16(s + 108);
}

template <>
inline void decode_block<TensorType::q4_k>(const uint8_t* s, DecodedBlock<PanelOf<TensorType::q4_k>>& out) {
    out.d = gguf::load_u16(s);
    out.m = gguf::load_u16(s + 2);
    gguf::six_bit_scales(s + 4, out.scale, out.min);
    gguf::nibbles_256(s + 16, out.q);
}

template <>
inline void decode_block<TensorType::q5_k>(const uint8_t* s, DecodedBlock<PanelOf<TensorType::q5_k>>& out) {
    out.d = gguf::load_u16(s);
    out.m = gguf::load_u16(s + 2);
    gguf::six_bit_scales(s + 4, out.scale, out.min);
    gguf::nibbles_256(s + 48, out.q);
    for (int group = 0; group < 8; ++group)
        for (int i = 0; i < 32; ++i)
            out.q[32 * group + i] = uint8_t(out.q[32 * group + i] | (((s[16 + i] >> group) & 1) << 4));
}

template <>
inline void decode_block<TensorType::q6_k>(const uint8_t* s, DecodedBlock<PanelOf<TensorType::q6_k>>& out) {
    for (int half = 0; half < 2; ++half) {
        const uint8_t* low = s + 64 * half;
        const uint8_t* high = s + 128 + 32 * half;
        uint8_t* q = out.q + 128 * half;
        for (int i = 0; i < 32; ++i) {
            q[i] = uint8_t((low[i] & 15) | ((high[i] & 3) << 4));
            q[32 + i] = uint8_t((low[32 + i] & 15) | (((high[i] >> 2) & 3) << 4));
            q[64 + i] = uint8_t((low[i] >> 4) | (((high[i] >> 4) & 3) << 4));
            q[96 + i] = uint8_t((low[32 + i] >> 4) | ((high[i] >> 6) << 4));
        }
    }
    for (int i = 0; i < 16; ++i) out.scale[i] = uint8_t(s[192 + i] ^ 0x80);
    out.d = gguf::load_u16(s + 208);
}

template <>
inline void decode_block<TensorType::iq4_xs>(const uint8_t* s, DecodedBlock<PanelOf<TensorType::iq4_xs>>& out) {
    out.d = gguf::load_u16(s);
    const uint32_t high = gguf::load_u16(s + 2);
    for (int i = 0; i < 8; ++i) {
        const int low = (s[4 + i / 2] >> (4 * (i % 2))) & 15;
        out.scale[i] = uint8_t((low | (((high >> (2 * i)) & 3) << 4)) - 32 + 128);
    }
    for (int group = 0; group < 8; ++group) gguf::nibbles_32(s + 8 + 16 * group, out.q + 32 * group);
}

}    // namespace candlewick
