// The thread pool: every piece of a run is done once, by whoever comes, and nobody is left in a run that has ended.
#include "executor/thread_pool.h"

#include <atomic>
#include <vector>

#include "tests/check.h"

namespace candlewick::tests {

void test_thread_pool() {
    for (int num_threads : {1, 2, 5}) {
        ThreadPool threads(num_threads);
        bool all_once = true, caller_came = true, nobody_inside = true;
        for (int run = 0; run < 3000; ++run) {
            const int count = run % 7;
            std::vector<std::atomic<int>> done(8);
            std::atomic<int> next{0}, inside{0};
            std::atomic<bool> caller{false};
            auto work = [&](int worker) {
                ++inside;
                if (worker == 0) caller = true;
                for (int item = next.fetch_add(1); item < count; item = next.fetch_add(1)) ++done[size_t(item)];
                --inside;
            };
            threads.run(work);
            for (int item = 0; item < 8; ++item) all_once &= done[size_t(item)] == (item < count ? 1 : 0);
            caller_came &= caller;
            nobody_inside &= inside == 0;
        }
        const std::string where = "runs on " + std::to_string(num_threads) + " threads: ";
        check(all_once, where + "each piece is done once");
        check(caller_came, where + "the caller takes part");
        check(nobody_inside, where + "all have left at the end");
    }
}

}    // namespace candlewick::tests
