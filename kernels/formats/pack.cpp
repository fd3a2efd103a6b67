#include "formats/pack.h"

#include <cstring>

#include "formats/gguf_blocks.h"
#include "simd/scalar.h"

namespace candlewick {
namespace {

int float_bytes(TensorType type) { return type == TensorType::f32 ? 4 : 2; }

// Four values of a row as one word; all plane arithmetic then works on four bytes at a time.
uint32_t four(const uint8_t* q, int step) {
    uint32_t word;
    std::memcpy(&word, q + 4 * step, 4);
    return word;
}

void put(uint8_t* line, int row, uint32_t word) { std::memcpy(line + 4 * row, &word, 4); }

template <class Panel>
void put_planes(const uint8_t* q, int row, uint8_t* record) {
    if constexpr (Panel::byte_bytes > 0)
        for (int step = 0; step < Panel::steps; ++step) put(record + 64 * step, row, four(q, step));
    if constexpr (Panel::nibble_bytes > 0)
        for (int line = 0; line < Panel::steps / 2; ++line) {
            const uint32_t even = four(q, 2 * line) & 0x0f0f0f0fu;
            const uint32_t odd = four(q, 2 * line + 1) & 0x0f0f0f0fu;
            put(record + 64 * line, row, even | (odd << 4));
        }
    if constexpr (Panel::pair_bytes > 0)
        for (int line = 0; line < Panel::steps / 4; ++line) {
            uint32_t word = 0;
            for (int i = 0; i < 4; ++i) word |= (four(q, 4 * line + i) & 0x03030303u) << (2 * i);
            put(record + Panel::pair_at + 64 * line, row, word);
        }
    if constexpr (Panel::six_bytes > 0)
        for (int line = 0; line < Panel::steps / 4 * 3; ++line) {
            const int first = line / 3 * 4, third = line % 3;
            const uint32_t spread = (four(q, first + 3) >> (2 * third)) & 0x03030303u;
            put(record + 64 * line, row, four(q, first + third) | (spread << 6));
        }
    constexpr int bit_shift = Panel::bits - 1;
    if constexpr (Panel::bit_bytes > 0)
        for (int line = 0; line < Panel::steps / 8; ++line) {
            uint32_t word = 0;
            for (int i = 0; i < 8; ++i) word |= ((four(q, 8 * line + i) >> bit_shift) & 0x01010101u) << i;
            put(record + Panel::bit_at + 64 * line, row, word);
        }
}

// Sub-blocks 4v … 4v + 3 of row r are the bytes of dword r of vector v.
template <class Panel>
void put_scales(const uint8_t* scale, const uint8_t* min, int row, uint8_t* record) {
    uint8_t* at = record + Panel::scale_at + 4 * row;
    if constexpr (Panel::scaling == Scaling::six_bit_min) {
        // Three lines hold four vectors: the fourth is spread over the two spare bits of the others.
        for (int i = 0; i < 4; ++i) {
            const uint8_t spread = min[4 + i];
            at[i] = uint8_t(scale[i] | ((spread & 3) << 6));
            at[64 + i] = uint8_t(scale[4 + i] | (((spread >> 2) & 3) << 6));
            at[128 + i] = uint8_t(min[i] | (((spread >> 4) & 3) << 6));
        }
    } else if constexpr (Panel::scaling == Scaling::four_bit_min) {
        for (int i = 0; i < 16; ++i) at[64 * (i / 4) + i % 4] = uint8_t(scale[i] | (min[i] << 4));
    } else if constexpr (Panel::k_family) {
        for (int i = 0; i < Panel::num_sub_blocks; ++i) at[64 * (i / 4) + i % 4] = scale[i];
    }
}

template <class Panel>
void put_floats(uint16_t d, uint16_t m, int row, uint8_t* record) {
    if constexpr (Panel::scaling == Scaling::block_exponent) {
        record[Panel::d_at + row] = uint8_t(d);
    } else {
        std::memcpy(record + Panel::d_at + 2 * row, &d, 2);
        if constexpr (has_minimum(Panel::scaling)) std::memcpy(record + Panel::min_at + 2 * row, &m, 2);
    }
}

template <TensorType T>
void pack_quantised(const uint8_t* rows, int num_rows, int columns, uint8_t* panel) {
    using Panel = PanelOf<T>;
    const int num_records = columns / Panel::block;
    const size_t row_bytes = size_t(num_records) * gguf_block_bytes<T>();
    for (int record = 0; record < num_records; ++record) {
        uint8_t* out = panel + size_t(record) * Panel::record_bytes;
        for (int row = 0; row < num_rows; ++row) {
            DecodedBlock<Panel> block;
            decode_block<T>(rows + size_t(row) * row_bytes + size_t(record) * gguf_block_bytes<T>(), block);
            put_planes<Panel>(block.q, row, out);
            put_scales<Panel>(block.scale, block.min, row, out);
            put_floats<Panel>(block.d, block.m, row, out);
        }
    }
}

void pack_floats(TensorType type, const uint8_t* rows, int num_rows, int columns, uint8_t* panel) {
    const size_t bytes = size_t(float_bytes(type));
    for (int row = 0; row < num_rows; ++row)
        for (int k = 0; k < columns; ++k)
            std::memcpy(panel + (size_t(k) * panel_rows + size_t(row)) * bytes,
                        rows + (size_t(row) * size_t(columns) + size_t(k)) * bytes, bytes);
}

// -- back to floats -------------------------------------------------------------------------------------------------

// What is spread over the upper two bits of three lines.
int fourth_of(const uint8_t* lines) { return lines[0] >> 6 | (lines[64] >> 6) << 2 | (lines[128] >> 6) << 4; }

template <class Panel>
uint8_t stored_value(const uint8_t* record, int row, int k) {
    const int step = k / 4;
    const int byte = 4 * row + k % 4;
    int value = 0;
    if constexpr (Panel::byte_bytes > 0) value = record[64 * step + byte];
    if constexpr (Panel::nibble_bytes > 0)
        value = (record[64 * (step / 2) + byte] >> (4 * (step % 2))) & 15;
    if constexpr (Panel::pair_bytes > 0)
        value |= (record[Panel::pair_at + 64 * (step / 4) + byte] >> (2 * (step % 4))) & 3;
    if constexpr (Panel::six_bytes > 0) {
        const uint8_t* lines = record + 192 * (step / 4) + byte;
        value = step % 4 < 3 ? lines[64 * (step % 4)] & 63 : fourth_of(lines);
    }
    if constexpr (Panel::bit_bytes > 0)
        value |= ((record[Panel::bit_at + 64 * (step / 8) + byte] >> (step % 8)) & 1) << (Panel::bits - 1);
    return uint8_t(value);
}

template <class Panel>
int signed_value(const uint8_t* record, int row, int k) {
    int value = stored_value<Panel>(record, row, k);
    if constexpr (HasTable<Panel>) value = Panel::table[value];
    return value - Panel::offset;
}

float half_at(const uint8_t* p) {
    uint16_t bits;
    std::memcpy(&bits, p, 2);
    return Scalar::half_to_float(bits);
}

// Half of 2^(e - 127): the values of MXFP4 are stored doubled.
float half_exponent(uint8_t e) {
    const uint32_t bits = e < 2 ? 0x00200000u << e : uint32_t(e - 1) << 23;
    float out;
    std::memcpy(&out, &bits, 4);
    return out;
}

template <class Panel>
int scale_of(const uint8_t* record, int row, int sub_block) {
    const uint8_t byte = record[Panel::scale_at + 64 * (sub_block / 4) + 4 * row + sub_block % 4];
    if constexpr (Panel::scaling == Scaling::six_bit_min) return byte & 63;
    if constexpr (Panel::scaling == Scaling::four_bit_min) return byte & 15;
    return int(byte) - 128;
}

template <class Panel>
int min_of(const uint8_t* record, int row, int sub_block) {
    const uint8_t* at = record + Panel::scale_at + 4 * row + sub_block % 4;
    if constexpr (Panel::scaling == Scaling::four_bit_min) return at[64 * (sub_block / 4)] >> 4;
    if (sub_block < 4) return at[128] & 63;
    return fourth_of(at);
}

template <TensorType T>
void unpack_quantised(const uint8_t* panel, int row, int columns, float* out) {
    using Panel = PanelOf<T>;
    for (int first = 0; first < columns; first += Panel::block, panel += Panel::record_bytes) {
        const uint8_t* d_at = panel + Panel::d_at;
        const float d = Panel::scaling == Scaling::block_exponent ? half_exponent(d_at[row]) : half_at(d_at + 2 * row);
        const float m = has_minimum(Panel::scaling) ? half_at(panel + Panel::min_at + 2 * row) : 0.0f;
        for (int k = 0; k < Panel::block; ++k) {
            const float value = float(signed_value<Panel>(panel, row, k));
            const int sub_block = k / Panel::sub_block;
            if constexpr (!Panel::k_family)
                out[first + k] = Panel::scaling == Scaling::block_min ? d * value + m : d * value;
            else if constexpr (has_minimum(Panel::scaling))
                out[first + k] = d * float(scale_of<Panel>(panel, row, sub_block)) * value -
                                 m * float(min_of<Panel>(panel, row, sub_block));
            else
                out[first + k] = d * float(scale_of<Panel>(panel, row, sub_block)) * value;
        }
    }
}

void unpack_floats(TensorType type, const uint8_t* panel, int row, int columns, float* out) {
    for (int k = 0; k < columns; ++k) {
        const size_t index = size_t(k) * panel_rows + size_t(row);
        if (type == TensorType::f32) {
            std::memcpy(out + k, panel + 4 * index, 4);
        } else if (type == TensorType::f16) {
            out[k] = half_at(panel + 2 * index);
        } else {
            uint16_t bits;
            std::memcpy(&bits, panel + 2 * index, 2);
            const uint32_t wide = uint32_t(bits) << 16;
            std::memcpy(out + k, &wide, 4);
        }
    }
}

}    // namespace

bool is_supported(TensorType type) {
    switch (type) {
        case TensorType::f32:
        case TensorType::f16:
        case TensorType::bf16: return true;
        default: return with_quantised_type(type, false, []<TensorType T>() { return true; });
    }
}

int block_elements(TensorType type) {
    return with_quantised_type(type, 1, []<TensorType T>() { return PanelOf<T>::block; });
}

size_t gguf_row_bytes(TensorType type, int columns) {
    return with_quantised_type(type, size_t(columns) * size_t(float_bytes(type)), [&]<TensorType T>() {
        return size_t(columns / PanelOf<T>::block) * gguf_block_bytes<T>();
    });
}

size_t panel_bytes(TensorType type, int columns) {
    const size_t bytes =
        with_quantised_type(type, size_t(columns) * panel_rows * size_t(float_bytes(type)), [&]<TensorType T>() {
            return size_t(columns / PanelOf<T>::block) * size_t(PanelOf<T>::record_bytes);
        });
    return (bytes + 63) / 64 * 64;
}

void pack_panel(TensorType type, const uint8_t* rows, int num_rows, int columns, uint8_t* panel) {
    if (num_rows < panel_rows) std::memset(panel, 0, panel_bytes(type, columns));
    const bool packed = with_quantised_type(type, false, [&]<TensorType T>() {
        pack_quantised<T>(rows, num_rows, columns, panel);
        return true;
    });
    if (!packed) pack_floats(type, rows, num_rows, columns, panel);
}

void unpack_row(TensorType type, const uint8_t* panel, int row, int columns, float* out) {
    const bool unpacked = with_quantised_type(type, false, [&]<TensorType T>() {
        unpack_quantised<T>(panel, row, columns, out);
        return true;
    });
    if (!unpacked) unpack_floats(type, panel, row, columns, out);
}

}    // namespace candlewick
