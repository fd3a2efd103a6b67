// Activations to int8, in the records that the integer products read (panel_layout.h).
//
// The scale is the largest magnitude / 127, per 256 values (super) or per 32 (block); rounding is to nearest even.
#pragma once

#include "formats/panel_layout.h"

namespace candlewick {

// Rounds 16 values to int8 and returns their sum.
template <class S>
int32_t quantize_sixteen(typename S::F32 x, float inverse_scale, int8_t* q) {
    const typename S::I32 rounded = S::round_to_int(S::mul(x, S::set1(inverse_scale)));
    S::store_low_bytes(q, rounded);
    return int32_t(S::sum(S::to_float(rounded)));    // exact: at most 16 * 127
}

template <class S>
void quantize_super(const float* x, SuperActivation& out) {
    typename S::F32 largest = S::zero();
    for (int k = 0; k < super_block; k += 16) largest = S::max(S::abs(S::load(x + k)), largest);
    const float amplitude = S::max_lane(largest);
    const float inverse = amplitude > 0.0f ? 127.0f / amplitude : 0.0f;
    out.scale = amplitude / 127.0f;
    out.sum = 0;
    constexpr int place[4] = {0, 2, 1, 3};
    int16_t sums[16];
    for (int i = 0; i < 16; ++i) {
        sums[i] = int16_t(quantize_sixteen<S>(S::load(x + 16 * i), inverse, out.q + 16 * i));
        out.sum16[i / 4 * 4 + place[i % 4]] = sums[i];
        out.sum += sums[i];
    }
    for (int i = 0; i < 8; ++i) out.sum32[i / 4 * 4 + place[i % 4]] = int16_t(sums[2 * i] + sums[2 * i + 1]);
}

template <class S>
void quantize_blocks(const float* x, int num_blocks, BlockActivation& out) {
    for (int i = 0; i < num_blocks; ++i) {
        const typename S::F32 low = S::load(x + 32 * i);
        const typename S::F32 high = S::load(x + 32 * i + 16);
        const float amplitude = S::max_lane(S::max(S::abs(low), S::max(S::abs(high), S::zero())));
        const float inverse = amplitude > 0.0f ? 127.0f / amplitude : 0.0f;
        out.scale[i] = amplitude / 127.0f;
        out.sum[i] = quantize_sixteen<S>(low, inverse, out.q + 32 * i) +
                     quantize_sixteen<S>(high, inverse, out.q + 32 * i + 16);
    }
}

// One row of `columns` values (a multiple of 256 or of 32); its records stand super_block_stride bytes apart.
template <class S>
void quantize(const float* x, int columns, ActivationKind kind, uint8_t* out, size_t super_block_stride) {
    for (int first = 0; first < columns; first += super_block, out += super_block_stride) {
        if (kind == ActivationKind::super) {
            quantize_super<S>(x + first, *reinterpret_cast<SuperActivation*>(out));
        } else {
            const int left = columns - first;
            quantize_blocks<S>(x + first, (left < super_block ? left : super_block) / 32,
                               *reinterpret_cast<BlockActivation*>(out));
        }
    }
}

}    // namespace candlewick
