#include "ceilings.h"

#include <algorithm>
#include <atomic>
#include <chrono>

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

double bytes_per_second(const ops::Place& place, const uint8_t* memory, int64_t bytes) {
    const int64_t pieces = (bytes + piece_bytes - 1) / piece_bytes;
    const auto fastest = [&](float (*read)(const void*, int64_t)) {
        return shortest([&] {
            place.pool.run(pieces, [&](int64_t i) {
                const int64_t begin = i * piece_bytes;
                sink = read(memory + begin, std::min(piece_bytes, bytes - begin));
            });
        });
    };
    const double seconds = std::min(fastest(place.kernels.read), fastest(place.kernels.read_straight));
    return static_cast<double>(bytes) / seconds;
}

}  // namespace galago::ceilings
