#include "executor/limits.h"

#include <algorithm>
#include <atomic>
#include <chrono>

namespace candlewick {

namespace {

constexpr int rounds = 12500;               // a piece of work of some tenths of a millisecond
constexpr int pieces_per_thread = 16;

template <class Function>
double seconds_of(ThreadPool& threads, Function& function) {
    const auto start = std::chrono::steady_clock::now();
    threads.run(function);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}    // namespace

double measure_products(const Kernels& kernels, ThreadPool& threads) {
    const int pieces = pieces_per_thread * threads.num_threads();
    std::atomic<int> next{0};
    std::atomic<int64_t> products{0};
    auto multiply = [&](int) {
        while (next.fetch_add(1) < pieces) products += kernels.multiply_registers(rounds);
    };
    const double seconds = seconds_of(threads, multiply);
    return double(products.load()) / seconds;
}

double measure_reads(const Kernels& kernels, ThreadPool& threads, const uint8_t* bytes, size_t count) {
    constexpr size_t unit = 512, most = size_t(2) << 20;    // bytes; read_memory takes whole units
    const size_t share = count / (8 * size_t(threads.num_threads())) / unit * unit;
    const size_t piece_bytes = std::clamp(share, unit, most);
    std::atomic<int32_t> used{0};
    std::atomic<size_t> next{0};
    auto read = [&](int) {
        int32_t sum = 0;
        for (size_t first = next.fetch_add(piece_bytes); first < count; first = next.fetch_add(piece_bytes))
            sum |= kernels.read_memory(bytes + first, std::min(piece_bytes, count - first));
        used |= sum;
    };
    return double(count) / seconds_of(threads, read);
}

}    // namespace candlewick
