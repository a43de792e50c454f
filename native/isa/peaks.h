// What a machine can do at most, for measuring how near the kernels come: multiplying and adding in registers
// alone, and reading memory alone. Nothing of an answer is computed here.
#pragma once

namespace galago::GALAGO_ISA {

// Sums side by side: enough to hide the latency of an instruction, few enough to stay in registers. They
// start differently, or a compiler would keep one of them for all; and every loop over them is unrolled,
// because an array that one loop indexes lives in memory for all.
constexpr int peak_sums = Vec::width == 8 ? 10 : 14;  // of 16 and 32 registers; LOG 2026-11-25
constexpr int64_t peak_f32_madds = int64_t{peak_sums} * Vec::width;

// `add` is the instruction, on `x` twice.
template <class Add>
inline double peak_of(int64_t rounds, Vec x, Add add) {
    Vec sums[peak_sums];
#pragma GCC unroll 16
    for (int i = 0; i < peak_sums; ++i) sums[i] = splat(static_cast<float>(i));
    for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 16
        for (int i = 0; i < peak_sums; ++i) sums[i] = add(x, x, sums[i]);
    }
    Vec all = sums[0];
#pragma GCC unroll 16
    for (int i = 1; i < peak_sums; ++i) all = all + sums[i];
    return sum(all);
}

inline double peak_f32(int64_t rounds, float factor) {
    return peak_of(rounds, splat(factor), [](Vec a, Vec b, Vec c) { return fma(a, b, c); });
}

// Several streams at once, as the rows of a matrix are read, each a few lines ahead of the sums; or one, straight
// on, which some processors fetch ahead faster by themselves (LOG 2026-11-29).
template <int streams, int vectors, bool fetches>
inline float read(const void* memory, int64_t bytes) {
    constexpr int ahead = 512;
    constexpr int64_t step = vectors * Vec::width;
    const auto* from = static_cast<const float*>(memory);
    const int64_t each = bytes / static_cast<int64_t>(sizeof(float)) / streams / step * step;
    Vec sums[streams][vectors];
    for (auto& stream : sums)
        for (Vec& one : stream) one = zero();
    for (int64_t i = 0; i < each; i += step) {
#pragma GCC unroll 4
        for (int s = 0; s < streams; ++s) {
            const float* at = from + s * each + i;
            if constexpr (fetches) __builtin_prefetch(at + ahead);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; ++v) sums[s][v] = sums[s][v] + load(at + v * Vec::width);
        }
    }
    Vec all = zero();
    for (auto& stream : sums)
        for (Vec& one : stream) all = all + one;
    return sum(all);
}

}  // namespace galago::GALAGO_ISA
