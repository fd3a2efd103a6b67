// Random numbers from a counter instead of a state: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy
// as 1, 2, 3"). The n-th draw of a request needs none of the draws before it, so it is the same alone or in a crowd, and
// after a retraction or a preemption.
#pragma once

#include <array>
#include <cstdint>

namespace candlewick {

inline std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
    for (int round = 0; round < 10; ++round) {
        const uint64_t first = uint64_t(0xD2511F53u) * counter[0];
        const uint64_t second = uint64_t(0xCD9E8D57u) * counter[2];
        counter = {uint32_t(second >> 32) ^ counter[1] ^ key[0], uint32_t(second),
                   uint32_t(first >> 32) ^ counter[3] ^ key[1], uint32_t(first)};
        key[0] += 0x9E3779B9u;
        key[1] += 0xBB67AE85u;
    }
    return counter;
}

// Draw number `index` of stream `choice` under `seed`, uniform in [0, 1) with 53 bits. The counter is (index, choice),
// low words first, the key is the seed; the first two words of the result are the bits, most significant first.
inline double uniform_draw(uint64_t seed, uint64_t choice, uint64_t index) {
    const auto words = philox4x32({uint32_t(index), uint32_t(index >> 32), uint32_t(choice), uint32_t(choice >> 32)},
                                  {uint32_t(seed), uint32_t(seed >> 32)});
    const uint64_t bits = uint64_t(words[0]) << 32 | words[1];
    return double(bits >> 11) * 0x1p-53;
}

}    // namespace candlewick
