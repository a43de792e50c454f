// The most multiply-adds of bfloat16 that registers alone allow; for instruction sets whose trait adds up pairs of
// them.
#pragma once

namespace galago::GALAGO_ISA {

constexpr int64_t peak_bf16_madds = 2 * peak_f32_madds;

inline double peak_bf16(int64_t rounds, float factor) {
    const Vec x = pairs_along(splat(factor), splat(factor));
    return peak_of(rounds, x, [](Vec a, Vec b, Vec c) { return add_pairs(a, b, c); });
}

}  // namespace galago::GALAGO_ISA
