#include "ceilings.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>

namespace galago::ceilings {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int least_runs = 3, most_runs = 5;
constexpr double enough_seconds = 0.25;
constexpr double run_seconds = 0.015;
constexpr int64_t pieces_per_thread = 8;     // so that a thread that is held up is helped
constexpr int64_t piece_bytes = 16LL << 20;  // of memory

std::atomic<double> sink;  // what the loops compute goes here, so that they are computed

// Seconds of the shortest of several runs.
template <class F>
double shortest(const F& run) {
    double best = 1e9, spent = 0;
    for (int i = 0; i < most_runs && (i < least_runs || spent < enough_seconds); ++i) {
        const auto start = Clock::now();
        run();
        const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
        best = std::min(best, seconds);
        spent += seconds;
    }
    return best;
}

// Memory of its own pages, large ones where the system has them; written once, so that it is there.
class Pages {
public:
    Pages(Pool& pool, int64_t bytes) : bytes_(static_cast<size_t>(bytes)) {
        void* got = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (got == MAP_FAILED) return;
        data_ = static_cast<char*>(got);
#if defined(MADV_HUGEPAGE)
        madvise(data_, bytes_, MADV_HUGEPAGE);
#endif
        pool.run(bytes / piece_bytes, [&](int64_t i) {
            std::memset(data_ + i * piece_bytes, 1, static_cast<size_t>(piece_bytes));
        });
    }
    ~Pages() {
        if (data_ != nullptr) munmap(data_, bytes_);
    }
    Pages(const Pages&) = delete;
    Pages& operator=(const Pages&) = delete;

    const char* data() const { return data_; }

private:
    char* data_ = nullptr;
    size_t bytes_;
};

}  // namespace

double multiply_adds_per_second(const ops::Place& place, const Peak& peak) {
    if (peak.run == nullptr) return 0;
    const float factor = 1.5F * static_cast<float>(place.pool.threads() > 0);
    int64_t rounds = 1 << 14;
    const auto once = [&] { sink = peak.run(rounds, factor); };
    while (shortest(once) < run_seconds / pieces_per_thread) rounds *= 2;

    const int64_t pieces = pieces_per_thread * place.pool.threads();
    const double seconds =
        shortest([&] { place.pool.run(pieces, [&](int64_t) { sink = peak.run(rounds, factor); }); });
    return static_cast<double>(pieces * rounds * peak.madds) / seconds;
}

double bytes_per_second(const ops::Place& place, int64_t bytes) {
    const int64_t pieces = std::max(bytes / piece_bytes, int64_t{1});
    const Pages pages(place.pool, pieces * piece_bytes);
    if (pages.data() == nullptr) return 0;
    const double seconds = shortest([&] {
        place.pool.run(pieces, [&](int64_t i) {
            sink = place.kernels.read(pages.data() + i * piece_bytes, piece_bytes);
        });
    });
    return static_cast<double>(pieces * piece_bytes) / seconds;
}

}  // namespace galago::ceilings
