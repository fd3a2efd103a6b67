// Worker threads that run one step together: they spin between the operations of a step and sleep between steps.
//
// Nobody is waited for who has not come: a worker that finds no core in time misses the step, and the others do its work.
// Who loses its core on the way is waited for where it holds a piece of work, and once at the end of the step.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace candlewick {

inline void pause_briefly() {
#if defined(__x86_64__) || defined(_M_X64)
    _mm_pause();
#elif defined(__aarch64__) && defined(__GNUC__)
    asm volatile("yield");
#endif
}

class ThreadPool {
  public:
    explicit ThreadPool(int num_threads);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    int num_threads() const { return num_threads_; }

    // Calls function(worker) on the caller, who is worker 0, and once on each worker that comes in time; returns when all
    // of these are done. The function must take its work piece by piece, and not throw. One caller at a time.
    template <class Function>
    void run(Function& function) {
        run([](void* f, int worker) { (*static_cast<Function*>(f))(worker); }, &function);
    }

  private:
    using Entry = void (*)(void*, int);

    void run(Entry entry, void* argument);
    void work(int worker);
    void stop();

    const int num_threads_;
    std::vector<std::thread> threads_;
    Entry entry_ = nullptr;
    void* argument_ = nullptr;
    std::atomic<bool> stop_{false};
    // Each on a cache line of its own: all workers hammer on them.
    alignas(64) std::atomic<uint32_t> gate_{0};    // see thread_pool.cpp
    alignas(64) std::atomic<uint32_t> left_{0};    // workers that came and are done
};

// Spins until `is_done()`; lends its core where that takes so long that whoever it waits for may have none.
template <class Condition>
void spin_until(Condition&& is_done) {
    constexpr int spins_before_yield = 4000;    // about 100 us on x86
    for (int i = 0; !is_done(); ++i) {
        if (i < spins_before_yield)
            pause_briefly();
        else
            std::this_thread::yield();
    }
}

}    // namespace candlewick
