// The outer-product tile: C [rows, cols] (+)= A [rows, inner] B [inner, cols], all row-major floats. A's
// values are broadcast, B's and C's are vectors. Dense products and attention are made of it.
#pragma once

namespace galago::GALAGO_ISA {

template <int rows, int vectors, bool whole>
inline void outer_tile(
    Rows<const float> a, Rows<const float> b, Rows<float> c, int64_t inner, int64_t rest, bool accumulate
) {
    // `rest` is how many values the last vector has when the tile is not whole.
    const auto get = [rest](const float* p, int v) {
        return whole || v + 1 < vectors ? load(p + v * Vec::width) : load(p + v * Vec::width, rest);
    };
    Vec sums[rows][vectors];
    for (int r = 0; r < rows; ++r)
        for (int v = 0; v < vectors; ++v) sums[r][v] = accumulate ? get(c[r], v) : zero();
    for (int64_t k = 0; k < inner; ++k) {
        Vec factor[vectors];
        for (int v = 0; v < vectors; ++v) factor[v] = get(b[k], v);
        for (int r = 0; r < rows; ++r) {
            const Vec x = splat(a[r][k]);
            for (int v = 0; v < vectors; ++v) sums[r][v] = fma(x, factor[v], sums[r][v]);
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) {
            if (whole || v + 1 < vectors) {
                store(c[r] + v * Vec::width, sums[r][v]);
            } else {
                store(c[r] + v * Vec::width, sums[r][v], rest);
            }
        }
    }
}

// Tiles of at most `most` rows under each other.
template <int most, int vectors, bool whole>
inline void outer_columns(
    Rows<const float> a, Rows<const float> b, Rows<float> c, int64_t rows, int64_t inner, int64_t rest,
    bool accumulate
) {
    for (; rows >= most; rows -= most) {
        outer_tile<most, vectors, whole>(a, b, c, inner, rest, accumulate);
        a.data += most * a.stride;
        c.data += most * c.stride;
    }
    constexpr int fewer = most > 6 ? 6 : most - 1;
    if constexpr (fewer > 0)
        if (rows > 0) outer_columns<fewer, vectors, whole>(a, b, c, rows, inner, rest, accumulate);
}

inline void outer_product(
    Rows<const float> a, Rows<const float> b, Rows<float> c, int64_t rows, int64_t cols, int64_t inner,
    bool accumulate
) {
    constexpr int64_t step = tile_vectors * Vec::width;
    if (rows <= 2) {  // few rows: more vectors, so that enough sums run side by side
        for (; cols >= 2 * step; cols -= 2 * step, b.data += 2 * step, c.data += 2 * step)
            outer_columns<2, 2 * tile_vectors, true>(a, b, c, rows, inner, 0, accumulate);
    }
    for (; cols >= step; cols -= step, b.data += step, c.data += step)
        outer_columns<tile_rows, tile_vectors, true>(a, b, c, rows, inner, 0, accumulate);
    if (cols > Vec::width) {
        outer_columns<tile_rows, 2, false>(a, b, c, rows, inner, cols - Vec::width, accumulate);
    } else if (cols == Vec::width) {
        outer_columns<tile_rows, 1, true>(a, b, c, rows, inner, 0, accumulate);
    } else if (cols > 0) {
        outer_columns<tile_rows, 1, false>(a, b, c, rows, inner, cols, accumulate);
    }
}

static_assert(tile_vectors == 2, "the rest of the columns is one or two vectors");

// to[k * stride + n] = from[n][k] as floats for n < rows, k < cols; rows beyond, up to `padded`, become 0.
// `padded` is a multiple of the vector's width.
template <class W>
inline void transpose_block(
    Rows<const W> from, float* to, int64_t stride, int64_t rows, int64_t cols, int64_t padded
) {
    for (int64_t n = 0; n < padded; n += Vec::width) {
        for (int64_t k = 0; k < cols; k += Vec::width) {
            const int64_t wide = cols - k < Vec::width ? cols - k : Vec::width;
            Vec square[Vec::width];
            for (int i = 0; i < Vec::width; ++i) {
                const W* row = from[n + i] + k;
                square[i] = n + i >= rows ? zero() : wide == Vec::width ? widen(row) : widen(row, wide);
            }
            transpose(square, to + k * stride + n, stride);
        }
    }
}

}  // namespace galago::GALAGO_ISA
