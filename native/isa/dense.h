// Products with dense weights, float or bfloat16, whose rows lie as in checkpoints.
//
// Few tokens: dot products along the rows, each weight read once. Many tokens: a panel of weight rows is
// turned into columns in scratch memory, a block of columns at a time, and outer products run over all
// tokens.
#pragma once

namespace galago::GALAGO_ISA {

constexpr int64_t dense_panel = tile_vectors * Vec::width;  // weight rows turned at a time
constexpr int64_t dense_block = 256;                        // and their columns
constexpr int64_t dense_few = 8;                            // up to so many tokens, turning does not pay
static_assert(dense_block % Vec::width == 0, "a block is made of squares");

template <int tokens, int rows, class W>
inline void dot_tile(const DenseProduct<W>& p, int64_t t0, int64_t n0) {
    const W* weight = p.weight + n0 * p.cols;
    Vec sums[tokens][rows];
    for (int t = 0; t < tokens; ++t)
        for (int r = 0; r < rows; ++r) sums[t][r] = zero();
    const auto step = [&](int64_t k, auto... rest) {
        Vec x[tokens];
        for (int t = 0; t < tokens; ++t) x[t] = load(p.x[t0 + t] + k, rest...);
        for (int r = 0; r < rows; ++r) {
            const Vec w = widen(weight + r * p.cols + k, rest...);
            for (int t = 0; t < tokens; ++t) sums[t][r] = fma(x[t], w, sums[t][r]);
        }
    };
    int64_t k = 0;
    for (; k + Vec::width <= p.cols; k += Vec::width) step(k);
    if (k < p.cols) step(k, p.cols - k);
    for (int t = 0; t < tokens; ++t) {
        float* y = p.y + (t0 + t) * p.rows + n0;
        if constexpr (rows == 4) {
            store_sums(y, sums[t][0], sums[t][1], sums[t][2], sums[t][3]);
        } else {
            for (int r = 0; r < rows; ++r) y[r] = sum(sums[t][r]);
        }
        if (p.bias == nullptr) continue;
        for (int r = 0; r < rows; ++r) y[r] += p.bias[n0 + r];
    }
}

template <int most, int rows, class W>
inline void dot_tokens_of(const DenseProduct<W>& p, int64_t t, int64_t n) {
    for (; t + most <= p.tokens; t += most) dot_tile<most, rows>(p, t, n);
    if constexpr (most > 1)
        if (t < p.tokens) dot_tokens_of<most - 1, rows>(p, t, n);
}

template <class W>
inline void dots(const DenseProduct<W>& p, Span rows) {
    int64_t n = rows.begin;
    for (; n + dot_rows <= rows.end; n += dot_rows) dot_tokens_of<dot_tokens, dot_rows>(p, 0, n);
    for (; n < rows.end; ++n) dot_tokens_of<dot_tokens, 1>(p, 0, n);
}

template <class W>
inline void turned(const DenseProduct<W>& p, Span rows, float* scratch) {
    for (int64_t n = rows.begin; n < rows.end; n += dense_panel) {
        const int64_t tall = rows.end - n < dense_panel ? rows.end - n : dense_panel;
        const Rows<float> y{p.y + n, p.rows};
        for (int64_t t = 0; t < p.tokens; ++t)
            for (int64_t i = 0; i < tall; ++i) y[t][i] = p.bias != nullptr ? p.bias[n + i] : 0.0F;
        for (int64_t k = 0; k < p.cols; k += dense_block) {
            const int64_t deep = p.cols - k < dense_block ? p.cols - k : dense_block;
            transpose_block<W>(
                {p.weight + n * p.cols + k, p.cols}, scratch, dense_panel, tall, deep, dense_panel
            );
            outer_product({p.x.data + k, p.x.stride}, {scratch, dense_panel}, y, p.tokens, tall, deep, true);
        }
    }
}

template <class W>
void linear(const DenseProduct<W>& p, Span rows, float* scratch) {
    if (p.tokens <= dense_few) {
        dots(p, rows);
    } else {
        turned(p, rows, scratch);
    }
}

}  // namespace galago::GALAGO_ISA
