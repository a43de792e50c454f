// Activations, norms, rotation: one pass over memory each.
#pragma once

namespace galago::GALAGO_ISA {

constexpr int64_t width = Vec::width;

template <class F>
inline void map(const float* x, float* y, int64_t count, F f) {
    int64_t i = 0;
    for (; i + width <= count; i += width) store(y + i, f(load(x + i), i));
    if (i < count) store(y + i, f(load(x + i, count - i), i), count - i);
}

inline void activate(Activation kind, const float* x, float* y, int64_t count) {
    switch (kind) {
        case Activation::silu:
            return map(x, y, count, [](Vec v, int64_t) { return silu(v); });
        case Activation::gelu:
            return map(x, y, count, [](Vec v, int64_t) { return gelu(v); });
        case Activation::gelu_tanh:
            return map(x, y, count, [](Vec v, int64_t) { return gelu_tanh(v); });
        case Activation::quick_gelu:
            return map(x, y, count, [](Vec v, int64_t) { return quick_gelu(v); });
    }
}

inline void silu_mul(const float* gate, const float* up, float* y, int64_t count) {
    int64_t i = 0;
    for (; i + width <= count; i += width) store(y + i, silu(load(gate + i)) * load(up + i));
    const int64_t rest = count - i;
    if (rest > 0) store(y + i, silu(load(gate + i, rest)) * load(up + i, rest), rest);
}

inline bool is_finite(const float* x, int64_t count) {
    Vec peak = zero();
    int64_t i = 0;
    for (; i + width <= count; i += width) peak = max_with_nan(peak, absolute(load(x + i)));
    if (i < count) peak = max_with_nan(peak, absolute(load(x + i, count - i)));
    return largest_bits(peak) < 0x7f800000U;
}

// Sum of f over a row.
template <class F>
inline float sum_over(const float* x, int64_t count, F f) {
    Vec a = zero(), b = zero();
    int64_t i = 0;
    for (; i + 2 * width <= count; i += 2 * width) {
        a = a + f(load(x + i));
        b = b + f(load(x + i + width));
    }
    if (i + width <= count) {
        a = a + f(load(x + i));
        i += width;
    }
    float rest = 0;
    if (i < count) {
        float last[width] = {};
        store(last, f(load(x + i, count - i)), count - i);
        rest = sum(load(last));
    }
    return sum(a + b) + rest;
}

inline void rms_norm(const Norm& p, Span tokens) {
    for (int64_t t = tokens.begin; t < tokens.end; ++t) {
        const float squares = sum_over(p.x[t], p.cols, [](Vec v) { return v * v; });
        const Vec scale = splat(1.0F / __builtin_sqrtf(squares / static_cast<float>(p.cols) + p.eps));
        map(p.x[t], p.y + t * p.cols, p.cols, [&](Vec v, int64_t i) {
            return v * scale * (i + width <= p.cols ? load(p.weight + i) : load(p.weight + i, p.cols - i));
        });
    }
}

inline void layer_norm(const Norm& p, Span tokens) {
    const auto count = static_cast<float>(p.cols);
    for (int64_t t = tokens.begin; t < tokens.end; ++t) {
        const Vec mean = splat(sum_over(p.x[t], p.cols, [](Vec v) { return v; }) / count);
        const float squares = sum_over(p.x[t], p.cols, [&](Vec v) { return (v - mean) * (v - mean); });
        const Vec scale = splat(1.0F / __builtin_sqrtf(squares / count + p.eps));
        map(p.x[t], p.y + t * p.cols, p.cols, [&](Vec v, int64_t i) {
            const bool whole = i + width <= p.cols;
            const Vec weight = whole ? load(p.weight + i) : load(p.weight + i, p.cols - i);
            const Vec bias = whole ? load(p.bias + i) : load(p.bias + i, p.cols - i);
            return fma((v - mean) * scale, weight, bias);
        });
    }
}

inline void rotate(const Rotate& p, Span tokens) {
    const int64_t half = p.size / 2;
    for (int64_t t = tokens.begin; t < tokens.end; ++t) {
        const float *cos = p.cos + t * half, *sin = p.sin + t * half;
        for (int64_t h = 0; h < p.heads; ++h) {
            const float* x = p.x.at(t, h);
            float* y = p.y.at(t, h);
            int64_t i = 0;
            for (; i + width <= half; i += width) {
                const Vec c = load(cos + i), s = load(sin + i), a = load(x + i), b = load(x + half + i);
                store(y + i, fma_minus(b, s, a * c));
                store(y + half + i, fma(a, s, b * c));
            }
            const int64_t n = half - i;
            if (n > 0) {
                const Vec c = load(cos + i, n), s = load(sin + i, n), a = load(x + i, n),
                          b = load(x + half + i, n);
                store(y + i, fma_minus(b, s, a * c), n);
                store(y + half + i, fma(a, s, b * c), n);
            }
        }
    }
}

}  // namespace galago::GALAGO_ISA
