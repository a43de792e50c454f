// exp and what is made of it, on vectors.
#pragma once

namespace galago::GALAGO_ISA {

// exp(x) to about 1e-7 relative; 0 far below, infinite far above, NaN for NaN. Cody-Waite reduction to
// |r| <= ln(2)/2, then 1 + r + r^2 p(r) with the minimax p of relative error 3.3e-9.
inline Vec exp(Vec x) {
    x = min(splat(89.0F), max(splat(-120.0F), x));
    const Vec n = round(x * splat(1.44269504F));
    Vec r = fma_minus(n, splat(0.693359375F), x);
    r = fma_minus(n, splat(-2.12194440e-4F), r);
    Vec p = splat(0.00138131424F);
    p = fma(p, r, splat(0.00836941879F));
    p = fma(p, r, splat(0.041668456F));
    p = fma(p, r, splat(0.166665152F));
    p = fma(p, r, splat(0.49999994F));
    return times_power_of_two(fma(p, r * r, r) + splat(1.0F), n);
}

// 2^x for x <= 0 to about 1e-7 relative; 0 far below, NaN for NaN. The minimax polynomial on [-1/2, 1/2] has
// the relative error 1.9e-9.
inline Vec exp2(Vec x) {
    x = max(splat(-160.0F), x);
    const Vec n = round(x), r = x - n;
    Vec p = splat(0.000153458124F);
    p = fma(p, r, splat(0.00133999309F));
    p = fma(p, r, splat(0.00961848907F));
    p = fma(p, r, splat(0.0555032864F));
    p = fma(p, r, splat(0.240226462F));
    p = fma(p, r, splat(0.693147182F));
    return times_power_of_two(fma(p, r, splat(1.0F)), n);
}

// x / (1 + exp(-u))
inline Vec times_sigmoid(Vec x, Vec u) { return x / (splat(1.0F) + exp(zero() - u)); }

inline Vec silu(Vec x) { return times_sigmoid(x, x); }
inline Vec quick_gelu(Vec x) { return times_sigmoid(x, x * splat(1.702F)); }

// 0.5 (1 + tanh(u)) = 1 / (1 + exp(-2 u)) with u = sqrt(2/pi) (x + 0.044715 x^3)
inline Vec gelu_tanh(Vec x) {
    const Vec inner = fma(x * x, splat(2 * 0.797884561F * 0.044715F), splat(2 * 0.797884561F));
    return times_sigmoid(x, x * inner);
}

// x times the normal distribution function. Its tail is exp(-x^2/2) p(t), t = 1/(1 + 0.3 |x|), with the
// minimax p of relative error 5.8e-8 for |x| < 14; beyond, the tail is 0 in float.
inline Vec gelu(Vec x) {
    const Vec a = absolute(x);
    const Vec t = splat(1.0F) / fma(a, splat(0.3F), splat(1.0F));
    Vec p = splat(0.0383783057F);
    p = fma(p, t, splat(-0.169166192F));
    p = fma(p, t, splat(0.228660226F));
    p = fma(p, t, splat(-0.076506637F));
    p = fma(p, t, splat(0.142535627F));
    p = fma(p, t, splat(0.0946834832F));
    p = fma(p, t, splat(0.121920355F));
    p = fma(p, t, splat(0.119487688F));
    p = fma(p, t, splat(7.16893237e-6F));
    const Vec tail = x * (p * exp(x * x * splat(-0.5F)));
    return if_negative(x, tail, x - tail);
}

}  // namespace galago::GALAGO_ISA
