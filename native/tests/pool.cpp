// Many callers and many short jobs on one pool: every piece runs exactly once, phases follow each other, and a
// thread begins with its own pieces.
// Built with the thread sanitizer.
#include "pool.h"

#include <atomic>
#include <cstdio>
#include <numeric>
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
                using Phase = galago::Pool::Phase;
                std::vector<int> first(5), last(static_cast<size_t>(job % 7 + 1));
                int sum = 0;
                Phase phases[] = {Phase(5), Phase(1), Phase(job % 7 + 1)};
                pool.run(phases, 3, [&](int64_t phase, int64_t i) {
                    if (phase == 0) first[static_cast<size_t>(i)] = 1;
                    if (phase == 1) sum = std::accumulate(first.begin(), first.end(), 0);
                    if (phase == 2) last[static_cast<size_t>(i)] = sum;
                });
                for (const int seen : last) wrong += seen != 5;
            }
        });
    }
    for (auto& caller : callers) caller.join();
    std::atomic<int> begun{0};
    pool.run(4, [&, caller = std::this_thread::get_id()](int64_t i) {
        for (++begun; begun < 4;) std::this_thread::yield();  // so each is on another thread
        wrong += (i == 0) != (std::this_thread::get_id() == caller);
    });
    std::printf("pool: %s\n", wrong == 0 ? "done" : "pieces did not run as promised");
    return wrong == 0 ? 0 : 1;
}
