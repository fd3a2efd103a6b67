#include "executor/thread_pool.h"

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace candlewick {

namespace {

inline void pause() {
#if defined(__x86_64__) || defined(_M_X64)
    _mm_pause();
#elif defined(__aarch64__) && defined(__GNUC__)
    asm volatile("yield");
#endif
}

constexpr int spins_before_yield = 4000;    // about 100 us: a partner that takes longer has lost its core
constexpr int spins_before_sleep = 1000;

}    // namespace

ThreadPool::ThreadPool(int num_threads) : num_threads_(num_threads) {
    threads_.reserve(size_t(num_threads - 1));
    for (int worker = 1; worker < num_threads; ++worker) threads_.emplace_back([this, worker] { work(worker); });
}

ThreadPool::~ThreadPool() {
    stop_.store(true);
    generation_.fetch_add(1);
    generation_.notify_all();
    for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::run(Entry entry, void* argument) {
    entry_ = entry;
    argument_ = argument;
    if (num_threads_ > 1) {
        generation_.fetch_add(1, std::memory_order_release);
        generation_.notify_all();
    }
    entry(argument, 0);
    barrier();
}

void ThreadPool::work(int worker) {
    uint32_t seen = 0;
    while (true) {
        for (int i = 0; i < spins_before_sleep && generation_.load(std::memory_order_acquire) == seen; ++i) pause();
        generation_.wait(seen, std::memory_order_acquire);
        seen = generation_.load(std::memory_order_acquire);
        if (stop_.load()) return;
        entry_(argument_, worker);
        barrier();
    }
}

void ThreadPool::barrier() {
    if (num_threads_ == 1) return;
    const uint32_t phase = phase_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) == num_threads_ - 1) {
        arrived_.store(0, std::memory_order_relaxed);
        phase_.store(phase + 1, std::memory_order_release);
        return;
    }
    for (int i = 0; phase_.load(std::memory_order_acquire) == phase; ++i) {
        if (i < spins_before_yield)
            pause();
        else
            std::this_thread::yield();
    }
}

}    // namespace candlewick
