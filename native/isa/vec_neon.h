// The vector trait on 64-bit ARM: 8 floats in two NEON registers. The integer dot products of packed weights
// are in dots_neon*.h.
#pragma once

#include <arm_neon.h>

#include "kernels.h"

namespace galago::GALAGO_ISA {

struct Vec {
    static constexpr int width = 8;
    float32x4_t low, high;
};

// Register tiles: rows times vectors of sums, with room for their factors in 32 registers.
constexpr int tile_rows = 6, tile_vectors = 2;  // outer products
constexpr int dot_tokens = 2, dot_rows = 4;     // dot products
constexpr int row_streams = 0;  // places at which weights are read for one token
constexpr bool few_in_registers = false;

// The first n of 8 values, zeros behind; nothing beyond is touched, as there is no masked load.
template <class T>
struct Eight {
    T values[8] = {};
    Eight(const T* p, int64_t n) {
        for (int64_t i = 0; i < n; ++i) values[i] = p[i];
    }
};

inline Vec splat(float x) { return {vdupq_n_f32(x), vdupq_n_f32(x)}; }
inline Vec zero() { return splat(0); }
inline Vec load(const float* p) { return {vld1q_f32(p), vld1q_f32(p + 4)}; }
inline Vec load(const float* p, int64_t n) { return load(Eight<float>(p, n).values); }
inline void store(float* p, Vec a) {
    vst1q_f32(p, a.low);
    vst1q_f32(p + 4, a.high);
}
inline void store(float* p, Vec a, int64_t n) {
    float values[8];
    store(values, a);
    for (int64_t i = 0; i < n; ++i) p[i] = values[i];
}

// Weights as they are stored -> floats.
inline Vec widen(const float* p) { return load(p); }
inline Vec widen(const float* p, int64_t n) { return load(p, n); }
inline Vec widen(const uint16_t* p) {
    const uint16x8_t halves = vld1q_u16(p);
    return {
        vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(halves), 16)),
        vreinterpretq_f32_u32(vshll_high_n_u16(halves, 16))
    };
}
inline Vec widen(const uint16_t* p, int64_t n) { return widen(Eight<uint16_t>(p, n).values); }

inline Vec operator+(Vec a, Vec b) { return {vaddq_f32(a.low, b.low), vaddq_f32(a.high, b.high)}; }
inline Vec operator-(Vec a, Vec b) { return {vsubq_f32(a.low, b.low), vsubq_f32(a.high, b.high)}; }
inline Vec operator*(Vec a, Vec b) { return {vmulq_f32(a.low, b.low), vmulq_f32(a.high, b.high)}; }
inline Vec operator/(Vec a, Vec b) { return {vdivq_f32(a.low, b.low), vdivq_f32(a.high, b.high)}; }
inline Vec fma(Vec a, Vec b, Vec c) {  // a b + c
    return {vfmaq_f32(c.low, a.low, b.low), vfmaq_f32(c.high, a.high, b.high)};
}
inline Vec fma_minus(Vec a, Vec b, Vec c) {  // c - a b
    return {vfmsq_f32(c.low, a.low, b.low), vfmsq_f32(c.high, a.high, b.high)};
}
inline float32x4_t choose(uint32x4_t condition, float32x4_t then, float32x4_t otherwise) {
    return vbslq_f32(condition, then, otherwise);
}
inline Vec max(Vec a, Vec b) {  // b if either is NaN
    return {
        choose(vcgtq_f32(a.low, b.low), a.low, b.low), choose(vcgtq_f32(a.high, b.high), a.high, b.high)
    };
}
inline Vec min(Vec a, Vec b) {  // b if either is NaN
    return {
        choose(vcltq_f32(a.low, b.low), a.low, b.low), choose(vcltq_f32(a.high, b.high), a.high, b.high)
    };
}
inline Vec round(Vec a) { return {vrndnq_f32(a.low), vrndnq_f32(a.high)}; }
inline Vec absolute(Vec a) { return {vabsq_f32(a.low), vabsq_f32(a.high)}; }
inline Vec if_negative(Vec x, Vec then, Vec otherwise) {
    return {
        choose(vcltzq_f32(x.low), then.low, otherwise.low),
        choose(vcltzq_f32(x.high), then.high, otherwise.high)
    };
}

inline float sum(Vec a) { return vaddvq_f32(vaddq_f32(a.low, a.high)); }
// The sums of four vectors, side by side.
inline void store_sums(float* p, Vec a, Vec b, Vec c, Vec d) {
    const auto halve = [](Vec x) { return vaddq_f32(x.low, x.high); };
    vst1q_f32(p, vpaddq_f32(vpaddq_f32(halve(a), halve(b)), vpaddq_f32(halve(c), halve(d))));
}

// a 2^n for an integral n of at most 252; what is too small becomes denormal or 0, what is too large
// infinite.
inline float32x4_t times_power_of_two(float32x4_t a, float32x4_t n) {
    const int32x4_t whole = vcvtnq_s32_f32(n), half = vshrq_n_s32(whole, 1), rest = vsubq_s32(whole, half);
    const int32x4_t bias = vdupq_n_s32(127);
    const float32x4_t one = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(half, bias), 23));
    const float32x4_t two = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(rest, bias), 23));
    return vmulq_f32(vmulq_f32(a, one), two);
}
inline Vec times_power_of_two(Vec a, Vec n) {
    return {times_power_of_two(a.low, n.low), times_power_of_two(a.high, n.high)};
}

// The larger of two non-negative floats, infinity above all numbers and NaN above infinity.
inline float32x4_t max_with_nan(float32x4_t a, float32x4_t b) {
    return vreinterpretq_f32_s32(vmaxq_s32(vreinterpretq_s32_f32(a), vreinterpretq_s32_f32(b)));
}
inline Vec max_with_nan(Vec a, Vec b) {
    return {max_with_nan(a.low, b.low), max_with_nan(a.high, b.high)};
}
inline uint32_t largest_bits(Vec a) {
    return static_cast<uint32_t>(vmaxvq_s32(vreinterpretq_s32_f32(max_with_nan(a.low, a.high))));
}

// `width` int32.
struct Words {
    int32x4_t low, high;
};
inline Words to_words(Vec a) { return {vcvtnq_s32_f32(a.low), vcvtnq_s32_f32(a.high)}; }  // to nearest even
inline Words operator+(Words a, Words b) { return {vaddq_s32(a.low, b.low), vaddq_s32(a.high, b.high)}; }
inline int sum(Words a) { return vaddvq_s32(vaddq_s32(a.low, a.high)); }
inline void store_int8(int8_t* p, Words a) {
    vst1_s8(p, vqmovn_s16(vcombine_s16(vqmovn_s32(a.low), vqmovn_s32(a.high))));
}

// to[j * stride + i] = from[i][j] for a square of 4.
inline void transpose_four(const float32x4_t (&from)[4], float* to, int64_t stride) {
    const auto pairs = [](float32x4_t a) { return vreinterpretq_f64_f32(a); };
    const float64x2_t even0 = pairs(vtrn1q_f32(from[0], from[1])), odd0 = pairs(vtrn2q_f32(from[0], from[1]));
    const float64x2_t even1 = pairs(vtrn1q_f32(from[2], from[3])), odd1 = pairs(vtrn2q_f32(from[2], from[3]));
    vst1q_f32(to, vreinterpretq_f32_f64(vtrn1q_f64(even0, even1)));
    vst1q_f32(to + stride, vreinterpretq_f32_f64(vtrn1q_f64(odd0, odd1)));
    vst1q_f32(to + 2 * stride, vreinterpretq_f32_f64(vtrn2q_f64(even0, even1)));
    vst1q_f32(to + 3 * stride, vreinterpretq_f32_f64(vtrn2q_f64(odd0, odd1)));
}

// to[j * stride + i] = from[i][j] for a square of `width`.
inline void transpose(const Vec* from, float* to, int64_t stride) {
    for (int i = 0; i < 8; i += 4) {
        transpose_four({from[i].low, from[i + 1].low, from[i + 2].low, from[i + 3].low}, to + i, stride);
        transpose_four(
            {from[i].high, from[i + 1].high, from[i + 2].high, from[i + 3].high}, to + 4 * stride + i, stride
        );
    }
}

// 16 float16 of a panel -> floats.
struct PanelFloats {
    static constexpr int vectors = 2;
    Vec part[vectors];
};
inline Vec widen_f16(const uint16_t* p) {
    const float16x8_t halves = vreinterpretq_f16_u16(vld1q_u16(p));
    return {vcvt_f32_f16(vget_low_f16(halves)), vcvt_high_f32_f16(halves)};
}
inline PanelFloats load_f16(const uint16_t* p) { return {{widen_f16(p), widen_f16(p + 8)}}; }

// 16 int32 sums of a panel, four rows in each part.
struct PanelSums {
    int32x4_t part[4];
};
inline PanelFloats to_floats(PanelSums s) {
    return {
        {{vcvtq_f32_s32(s.part[0]), vcvtq_f32_s32(s.part[1])},
         {vcvtq_f32_s32(s.part[2]), vcvtq_f32_s32(s.part[3])}}
    };
}

// A quad of activations for every row: x[0 .. 3] four times.
inline int8x16_t four_of(const int8_t* p) {
    int32_t word;
    __builtin_memcpy(&word, p, sizeof word);
    return vreinterpretq_s8_s32(vdupq_n_s32(word));
}

// Bytes of value + 128 -> values.
inline int8x16_t values(const uint8_t* codes) {
    return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(codes), vdupq_n_u8(128)));
}

// Nibbles of 32 columns times `count` -> bytes of value + 128: multiplier * nibble + (128 - multiplier *
// zero).
inline void expand(const uint8_t* codes, const uint8_t* steps, int64_t count, uint8_t* to) {
    alignas(16) static constexpr uint8_t row_of_byte[16] = {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3};
    const uint8x16_t low = vdupq_n_u8(15), four_rows = vld1q_u8(row_of_byte);
    for (int64_t i = 0; i < count; ++i, codes += 256, steps += panel_rows, to += 512) {
        const uint8x16_t step = vld1q_u8(steps);
        const uint8x16_t by = vaddq_u8(vshrq_n_u8(step, 4), vdupq_n_u8(1));
        const uint8x16_t base = vmlsq_u8(vdupq_n_u8(128), by, vandq_u8(step, low));
        for (int part = 0; part < 4; ++part) {
            const uint8x16_t rows = vaddq_u8(four_rows, vdupq_n_u8(static_cast<uint8_t>(4 * part)));
            const uint8x16_t factors = vqtbl1q_u8(by, rows), bases = vqtbl1q_u8(base, rows);
            for (int j = 0; j < 4; ++j) {
                const uint8x16_t both = vld1q_u8(codes + j * 64 + part * 16);
                uint8_t* target = to + j * 128 + part * 16;
                vst1q_u8(target, vmlaq_u8(bases, vandq_u8(both, low), factors));
                vst1q_u8(target + 64, vmlaq_u8(bases, vshrq_n_u8(both, 4), factors));
            }
        }
    }
}

}  // namespace galago::GALAGO_ISA
