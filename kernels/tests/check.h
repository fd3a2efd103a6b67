// The little that the kernel tests need: checks that count, and random numbers.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "isa/kernels.h"

namespace candlewick::tests {

struct Results {
    int checks = 0;
    int failures = 0;
};

inline Results& results() {
    static Results all;
    return all;
}

inline void check(bool holds, const std::string& what) {
    results().checks += 1;
    if (holds) return;
    results().failures += 1;
    std::printf("FAILED: %s\n", what.c_str());
}

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
    if (a.size() != b.size()) return false;
    for (size_t i = 0; i < a.size(); ++i)
        if (std::memcmp(&a[i], &b[i], sizeof(float)) != 0 && !(std::isnan(a[i]) && std::isnan(b[i]))) return false;
    return true;
}

// Distance in units of the last place of the exact result.
inline double ulps(float found, double exact) {
    const float rounded = float(exact);
    const float magnitude = std::fabs(rounded);
    const double unit = double(std::nextafterf(magnitude, INFINITY)) - double(magnitude);
    return std::fabs(double(found) - exact) / unit;
}

struct Random {
    std::mt19937 engine;
    explicit Random(uint32_t seed) : engine(seed) {}
    int integer(int low, int high) { return low + int(engine() % uint32_t(high - low + 1)); }
    float normal() { return std::normal_distribution<float>()(engine); }
    std::vector<float> normals(size_t count, float scale = 1.0f) {
        std::vector<float> out(count);
        for (float& value : out) value = normal() * scale;
        return out;
    }
};

// Every instruction set that this machine has, the scalar specification last.
inline std::vector<const Kernels*> all_kernels() {
    std::vector<const Kernels*> out;
    for (const Kernels* const* kernels = available_kernels(); *kernels != nullptr; ++kernels) out.push_back(*kernels);
    return out;
}

inline const Kernels& specification() { return *all_kernels().back(); }

void test_rows();
void test_linear();
void test_program();
void test_attention();
void test_sampling();
void test_thread_pool();

}    // namespace candlewick::tests
