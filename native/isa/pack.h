// Packing: dense rows to int8 values with a scale for each group, or to nibbles on the best grid of every 32
// columns. The same steps in the same order as packing.py, which says why; only sums of squares may round
// otherwise.
#pragma once

namespace galago::GALAGO_ISA {

// The least float16 that is not below a finite x >= 0, as its bits; 0x7C00 or more where there is none.
inline uint16_t half_at_least(float x) {
    uint32_t bits = 0;
    __builtin_memcpy(&bits, &x, sizeof bits);
    if (x >= 0x1p16F) return 0x7C00;
    if (x >= 0x1p-14F) return static_cast<uint16_t>((bits + 0x1FFFU) / 0x2000U - (112U << 10U));
    const float units = x * 0x1p24F;
    const auto whole = static_cast<uint16_t>(units);
    return static_cast<uint16_t>(static_cast<float>(whole) < units ? whole + 1 : whole);
}

// A finite float16 >= 0 as a float.
inline float from_half(uint16_t half) {
    if (half < 0x400) return static_cast<float>(half) * 0x1p-24F;
    const uint32_t bits = (half + (112U << 10U)) << 13U;
    float x = 0;
    __builtin_memcpy(&x, &bits, sizeof x);
    return x;
}

// The largest of values that are all 0 or more.
inline float largest(Vec x) {
    const uint32_t bits = largest_bits(x);
    float value = 0;
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
}

constexpr int step_vectors = static_cast<int>(step_cols) / Vec::width;

// 32 values in units of their scale.
struct Units {
    Vec part[step_vectors];
};

inline float clip(float x, float least, float most) { return x < least ? least : x > most ? most : x; }

// The nibbles on the grid that errs least, one a byte, and that grid as a step.
inline uint8_t fit_grid(const Units& units, int8_t* nibbles) {
    Vec low = zero(), high = zero();
    for (const Vec& x : units.part) {
        low = min(low, x);
        high = max(high, x);
    }
    const float lowest = -largest(zero() - low), highest = largest(high);
    const auto widest = static_cast<int>(clip(__builtin_ceilf((highest - lowest) / 15), 1, 16));
    float best = -1;
    uint8_t step = 0;
    for (int multiplier = widest; multiplier > widest - 5 && multiplier > 0; --multiplier) {
        const auto by = static_cast<float>(multiplier);
        const float middle = clip(__builtin_rintf(7.5F - (highest + lowest) / (2 * by)), 0, 15);
        const Vec least = splat(clip(-static_cast<float>(128 / multiplier), -middle, 0));
        const Vec most = splat(clip(static_cast<float>(127 / multiplier), 0, 15 - middle));
        Vec squares = zero(), levels[step_vectors];
        for (int i = 0; i < step_vectors; ++i) {
            levels[i] = min(max(round(units.part[i] / splat(by)), least), most);
            const Vec error = levels[i] * splat(by) - units.part[i];
            squares = squares + error * error;
        }
        const float total = sum(squares);
        if (best >= 0 && total >= best) continue;
        best = total;
        step = static_cast<uint8_t>((multiplier - 1) * 16 + static_cast<int>(middle));
        for (int i = 0; i < step_vectors; ++i)
            store_int8(nibbles + i * Vec::width, to_words(levels[i] + splat(middle)));
    }
    return step;
}

// One group of a row; `from` has `count` of its values, `place` is that row in the codes of the panel.
inline bool pack_group(
    const Pack& p, const float* from, int64_t count, uint8_t* place, uint16_t* scale, uint8_t* steps
) {
    Vec peak = zero();
    for (int64_t i = 0; i < count; i += Vec::width)
        peak = max(peak, absolute(count - i >= Vec::width ? load(from + i) : load(from + i, count - i)));
    *scale = half_at_least(largest(peak) / 127.0F);
    if (*scale >= 0x7C00) return false;
    const float step = from_half(*scale);
    const Vec inverse = splat(step > 0 ? 1 / step : 0);
    for (int64_t i = 0; i < p.group; i += step_cols) {
        Units units;
        for (int v = 0; v < step_vectors; ++v) {
            const int64_t at = i + v * Vec::width, left = count - at;
            const Vec x = left >= Vec::width ? load(from + at) : left > 0 ? load(from + at, left) : zero();
            units.part[v] = x * inverse;
        }
        int8_t values[step_cols];
        uint32_t quads[step_cols / 4];
        if (p.bits == 4) {
            steps[i / step_cols * panel_rows] = fit_grid(units, values);
        } else {
            for (int v = 0; v < step_vectors; ++v)
                store_int8(values + v * Vec::width, to_words(units.part[v]));
        }
        __builtin_memcpy(quads, values, sizeof quads);
        for (int q = 0; q < static_cast<int>(step_cols) / 4; q += p.bits == 4 ? 2 : 1, place += 64) {
            const uint32_t bytes = p.bits == 4 ? quads[q] | quads[q + 1] << 4U : quads[q] ^ 0x80808080U;
            __builtin_memcpy(place, &bytes, sizeof bytes);
        }
    }
    return true;
}

inline bool pack(const Pack& p, Span panels) {
    const int64_t groups = (p.cols + p.group - 1) / p.group;
    bool good = true;
    for (int64_t n = panels.begin * panel_rows; n < panels.end * panel_rows; ++n) {
        const int64_t panel = n / panel_rows, row = n % panel_rows;
        for (int64_t g = 0; g < groups; ++g) {
            const int64_t first = g * p.group, left = p.cols - first;
            const int64_t count = n >= p.rows ? 0 : left < p.group ? left : p.group, at = panel * groups + g;
            uint8_t* place = p.codes + at * p.group * panel_rows * p.bits / 8 + row * 4;
            uint8_t* steps =
                p.steps == nullptr ? nullptr : p.steps + at * (p.group / step_cols) * panel_rows + row;
            const float* from = count > 0 ? p.x[n] + first : nullptr;
            good = pack_group(p, from, count, place, p.scales + at * panel_rows + row, steps) && good;
        }
    }
    return good;
}

}  // namespace galago::GALAGO_ISA
