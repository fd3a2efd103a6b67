#include "executor/thread_pool.h"

namespace candlewick {

namespace {

constexpr int spins_before_sleep = 1000;

// The gate of a run: how many workers have come, whether more may, and the run's number.
constexpr uint32_t came_mask = 0xffff;
constexpr uint32_t open = 0x10000;
constexpr uint32_t next_run = 0x20000;

constexpr uint32_t number_of(uint32_t gate) { return gate / next_run; }

}    // namespace

ThreadPool::ThreadPool(int num_threads) : num_threads_(num_threads) {
    threads_.reserve(size_t(num_threads - 1));
    try {
        for (int worker = 1; worker < num_threads; ++worker) threads_.emplace_back([this, worker] { work(worker); });
    } catch (...) {    // the system has no more threads
        stop();
        throw;
    }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
    stop_.store(true);
    gate_.fetch_add(next_run);
    gate_.notify_all();
    for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::run(Entry entry, void* argument) {
    if (num_threads_ == 1) return entry(argument, 0);
    entry_ = entry;
    argument_ = argument;
    left_.store(0, std::memory_order_relaxed);
    // In one order with the look for sleepers in notify_all.
    gate_.store((number_of(gate_.load(std::memory_order_relaxed)) + 1) * next_run + open, std::memory_order_seq_cst);
    gate_.notify_all();
    entry(argument, 0);
    const uint32_t came = gate_.fetch_and(~open, std::memory_order_acq_rel) & came_mask;
    spin_until([&] { return left_.load(std::memory_order_acquire) == came; });
}

void ThreadPool::work(int worker) {
    uint32_t seen = 0;
    while (true) {
        uint32_t gate = gate_.load(std::memory_order_acquire);
        for (int i = 0; i < spins_before_sleep && number_of(gate) == seen; ++i) {
            pause_briefly();
            gate = gate_.load(std::memory_order_acquire);
        }
        if (stop_.load()) return;
        if (number_of(gate) == seen) {
            gate_.wait(gate, std::memory_order_acquire);
            continue;
        }
        seen = number_of(gate);
        while (number_of(gate) == seen && (gate & open) &&
               !gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acq_rel, std::memory_order_acquire)) {
        }
        if (number_of(gate) != seen || !(gate & open)) continue;    // too late
        entry_(argument_, worker);
        left_.fetch_add(1, std::memory_order_release);
    }
}

}    // namespace candlewick
