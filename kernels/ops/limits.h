// Loops that do nothing but what limits the rest: integer products that never wait, and reading memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/unroll.h"

namespace candlewick {

// `rounds` rounds of products in chains that don't depend on each other; returns how many multiplications they were.
template <class S>
static int64_t multiply_registers(int rounds) {
    constexpr int chains = 12;    // as many as hide the latency of a product on any processor
    [[maybe_unused]] alignas(64) static const uint8_t weights[64] = {1, 2, 3};
    [[maybe_unused]] alignas(64) static const int8_t four[4] = {1, 1, 1, 1};
    int64_t products = 0;
    volatile float used = 0.0f;    // so that nothing is left out
    S::for_each_linear_part([&]<class Part>() {
        const typename Part::Bytes w = Part::load_bytes(weights);
        typename Part::Dots dots[chains];
        // Loops over the chains would keep them in memory.
        unroll<chains>([&]<int I>() __attribute__((always_inline)) { dots[I] = Part::zero_dots(); });
        for (int round = 0; round < rounds; ++round)
            unroll<chains>([&]<int I>() __attribute__((always_inline)) { dots[I] = Part::dot4(dots[I], w, four); });
        typename Part::I32 sum = Part::zero_int();
        unroll<chains>([&]<int I>() __attribute__((always_inline)) { sum = Part::add_dots(sum, dots[I]); });
        float lanes[16] = {};
        Part::store(lanes, Part::to_float(sum));
        used = used + lanes[0] + lanes[15];
        products += int64_t(rounds) * chains * (64 / S::num_linear_parts);
    });
    return products;
}

// Reads whole lines of 64 bytes and returns something that depends on all of them.
template <class S>
static int32_t read_memory(const uint8_t* bytes, size_t count) {
    constexpr size_t stride = 8 * 64;
    typename S::I32 sum[8];
    for (auto& part : sum) part = S::zero_int();
    for (size_t at = 0; at + stride <= count; at += stride)
        for (int i = 0; i < 8; ++i) {
            S::prefetch(bytes + at + 64 * i + 4096);
            sum[i] = S::or_int(sum[i], S::load_int(bytes + at + 64 * i));
        }
    for (int i = 1; i < 8; ++i) sum[0] = S::or_int(sum[0], sum[i]);
    int32_t lanes[16];
    S::store_int(lanes, sum[0]);
    int32_t all = 0;
    for (int32_t lane : lanes) all |= lane;
    return all;
}

}    // namespace candlewick
