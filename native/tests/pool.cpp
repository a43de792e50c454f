// Many callers and many short jobs on one pool: every piece runs exactly once. Built with the thread
// sanitizer.
#include "pool.h"

#include <atomic>
#include <cstdio>
#include <thread>
#include <vector>

int main() {
    galago::Pool pool(4);
    std::vector<std::thread> callers;
    std::atomic<int> wrong{0};
    for (int caller = 0; caller < 3; ++caller) {
        callers.emplace_back([&] {
            for (int job = 0; job < 1000; ++job) {
                std::vector<int> runs(static_cast<size_t>(job % 23));
                pool.run(static_cast<int64_t>(runs.size()), [&](int64_t i) {
                    ++runs[static_cast<size_t>(i)];
                });
                for (const int count : runs) wrong += count != 1;
            }
        });
    }
    for (auto& caller : callers) caller.join();
    std::printf("pool: %s\n", wrong == 0 ? "done" : "pieces did not run exactly once");
    return wrong == 0 ? 0 : 1;
}
