// The most int8 dot products that registers alone allow; for instruction sets whose trait has `add_pairs`.
#pragma once

namespace galago::GALAGO_ISA {

constexpr int64_t peak_int8_madds = int64_t{peak_sums} * pairs_width;

inline double peak_int8(int64_t rounds, float factor) {
    Pairs x = splat_pairs(static_cast<int8_t>(factor));
    Pairs sums[peak_sums];
#pragma GCC unroll 16
    for (int i = 0; i < peak_sums; ++i) sums[i] = splat_pairs(static_cast<int8_t>(i - peak_sums / 2));
    for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 16
        for (int i = 0; i < peak_sums; ++i) add_pairs(sums[i], x);
    }
    double all = 0;
#pragma GCC unroll 16
    for (int i = 0; i < peak_sums; ++i) all += sum(sums[i]);
    return all;
}

}  // namespace galago::GALAGO_ISA
