#include "executor/limits.h"

#include <atomic>
#include <chrono>

namespace candlewick {

namespace {

constexpr int rounds = 200000;    // some milliseconds

template <class Function>
double seconds_of(ThreadPool& threads, Function& function) {
    const auto start = std::chrono::steady_clock::now();
    threads.run(function);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}    // namespace

double measure_products(const Kernels& kernels, ThreadPool& threads) {
    std::atomic<int64_t> products{0};
    auto multiply = [&](int) { products += kernels.multiply_registers(rounds); };
    const double seconds = seconds_of(threads, multiply);
    return double(products.load()) / seconds;
}

double measure_reads(const Kernels& kernels, ThreadPool& threads, const uint8_t* bytes, size_t count) {
    std::atomic<int32_t> used{0};
    const size_t lines = count / 64;
    const size_t workers = size_t(threads.num_threads());
    auto read = [&](int worker) {
        const size_t first = lines * size_t(worker) / workers * 64;
        const size_t end = lines * (size_t(worker) + 1) / workers * 64;
        used |= kernels.read_memory(bytes + first, end - first);
    };
    return double(count) / seconds_of(threads, read);
}

}    // namespace candlewick
