// Worker threads that run one step together: they spin between the operations of a step and sleep between steps.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace candlewick {

class ThreadPool {
  public:
    explicit ThreadPool(int num_threads);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    int num_threads() const { return num_threads_; }

    // Calls function(worker) once on every worker, the caller being worker 0, and returns when all are done.
    // The function must not throw. One caller at a time.
    template <class Function>
    void run(Function& function) {
        run([](void* f, int worker) { (*static_cast<Function*>(f))(worker); }, &function);
    }

    // Waits until every worker of the running function has come here.
    void barrier();

  private:
    using Entry = void (*)(void*, int);

    void run(Entry entry, void* argument);
    void work(int worker);

    const int num_threads_;
    std::vector<std::thread> threads_;
    Entry entry_ = nullptr;
    void* argument_ = nullptr;
    std::atomic<bool> stop_{false};
    // Each on a cache line of its own: all workers hammer on them.
    alignas(64) std::atomic<uint32_t> generation_{0};
    alignas(64) std::atomic<int> arrived_{0};
    alignas(64) std::atomic<uint32_t> phase_{0};
};

}    // namespace candlewick
