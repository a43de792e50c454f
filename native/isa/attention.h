// Attention in tiles with online softmax. A tile has several queries with all query heads that share a key
// head, and each is a column: scores, weights and sums lie [key or channel][column], so that the softmax runs
// down the columns and both products broadcast keys and values as they lie in memory. Keys come in blocks;
// when a larger score comes, what is summed shrinks. `Factors` says how what is multiplied lies there: as floats
// (Singles), or rounded, two in the place of one (attention_halves.h).
#pragma once

namespace galago::GALAGO_ISA {

// Factors that are broadcast: those of one output row `stride` apart when not `turned`, else side by side.
struct Broadcast {
    const float* data;
    int64_t stride;
};

constexpr int64_t key_block = 64;
constexpr int64_t attention_rows = 128;  // LOG 2026-11-25
// Vectors of columns beside each other: as many as leave registers for enough sums.
constexpr int column_vectors = tile_rows * tile_vectors >= 16 ? 2 * tile_vectors : tile_vectors;

inline int64_t padded(int64_t n) { return (n + Vec::width - 1) / Vec::width * Vec::width; }

struct Tile {
    int64_t rows, share, columns;     // row = query * share + head within the key head; columns: rows, padded
    float* queries;                   // [size, columns], scaled for exp2
    float* weights;                   // [key_block, columns]: scores, then their exponentials
    float* sums;                      // [size, columns]
    float* copies;                    // [key_block, size], of keys or values
    float *limits, *peaks, *shrinks;  // [columns]: keys that may be seen, largest scores, factors of old sums
    float* totals;                    // [columns]
};

inline int64_t attention_scratch(const Attention& p, int64_t rows) {
    return padded(rows) * (2 * padded(p.size) + key_block + 4) + key_block * p.size;
}

inline Tile make_tile(const Attention& p, int64_t rows, float* scratch) {
    Tile tile{};
    tile.rows = rows;
    tile.share = p.heads / p.kv_heads;
    tile.columns = padded(rows);
    const auto take = [&scratch](int64_t floats) { return scratch += floats, scratch - floats; };
    tile.queries = take(padded(p.size) * tile.columns);
    tile.sums = take(padded(p.size) * tile.columns);
    tile.weights = take(key_block * tile.columns);
    tile.limits = take(tile.columns);
    tile.peaks = take(tile.columns);
    tile.shrinks = take(tile.columns);
    tile.totals = take(tile.columns);
    tile.copies = take(key_block * p.size);
    return tile;
}

// The vector of a row of the tile among Heads.
template <class T>
inline T* row_of(const Heads<T>& heads, const AttentionPart& part, const Tile& tile, int64_t row) {
    return heads.at(part.queries.begin + row / tile.share, part.kv_head * tile.share + row % tile.share);
}

// What makes scores of queries for exp2.
inline Vec query_scale(int64_t size) {
    constexpr float log2_e = 1.44269504F;
    return splat(log2_e / __builtin_sqrtf(static_cast<float>(size)));
}

template <class Factors>
inline void start(const Attention& p, const AttentionPart& part, const Tile& tile) {
    const Vec scale = query_scale(p.size);
    for (int64_t c = 0; c < tile.columns; c += Vec::width) {
        const float* from[Vec::width];
        for (int64_t i = 0; i < Vec::width; ++i) {
            from[i] = c + i < tile.rows ? row_of(p.q, part, tile, c + i) : nullptr;
            tile.limits[c + i] = static_cast<float>(part.seen + (c + i) / tile.share);
        }
        for (int64_t k = 0; k < p.size; k += Vec::width) {
            const int64_t wide = p.size - k < Vec::width ? p.size - k : Vec::width;
            Vec square[Vec::width];
            for (int i = 0; i < Vec::width; ++i) {
                square[i] = from[i] == nullptr  ? zero()
                            : wide < Vec::width ? load(from[i] + k, wide) * scale
                                                : load(from[i] + k) * scale;
            }
            Factors::put_queries(square, tile.queries + c, k, tile.columns);
        }
        store(tile.peaks + c, splat(-__builtin_inff()));
        store(tile.totals + c, zero());
    }
}

// y [rows, columns] = y shrunk by a factor for each column, or 0 without factors, + a [rows, inner] b [inner,
// columns], for some vectors of the columns.
template <class Factors, int rows, int vectors, bool turned>
inline void column_tile(
    Broadcast a, const float* b, float* y, const float* shrinks, int64_t columns, int64_t inner
) {
    Vec sums[rows][vectors];
    if (shrinks == nullptr) {
        for (int r = 0; r < rows; ++r)
            for (int v = 0; v < vectors; ++v) sums[r][v] = zero();
    } else {
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) {
            const Vec factor = load(shrinks + v * Vec::width);
#pragma GCC unroll 16
            for (int r = 0; r < rows; ++r) sums[r][v] = load(y + r * columns + v * Vec::width) * factor;
        }
    }
    for (int64_t k = 0; k < inner; ++k, b += columns) {
        Vec factor[vectors];
        for (int v = 0; v < vectors; ++v) factor[v] = load(b + v * Vec::width);
        for (int r = 0; r < rows; ++r) {
            const Vec x = splat(turned ? a.data[k * a.stride + r] : a.data[r * a.stride + k]);
            for (int v = 0; v < vectors; ++v) sums[r][v] = Factors::add(x, factor[v], sums[r][v]);
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) store(y + r * columns + v * Vec::width, sums[r][v]);
}

template <class Factors, int most, int vectors, bool turned>
inline void column_rows(
    Broadcast a, const float* b, float* y, const float* shrinks, int64_t columns, int64_t rows, int64_t inner
) {
    if (rows == most) {
        column_tile<Factors, most, vectors, turned>(a, b, y, shrinks, columns, inner);
    } else if constexpr (most > 1) {
        column_rows<Factors, most - 1, vectors, turned>(a, b, y, shrinks, columns, rows, inner);
    }
}

// All rows and the columns from `c` on, by tiles of about equal height.
template <class Factors, int vectors, bool turned>
inline void column_product(
    Broadcast a, const float* b, float* y, const float* shrinks, int64_t columns, int64_t rows, int64_t inner,
    int64_t c = 0
) {
    constexpr int most = vectors <= tile_vectors ? tile_rows : tile_rows * tile_vectors / vectors;
    for (; c + vectors * Vec::width <= columns; c += vectors * Vec::width) {
        const int64_t tiles = (rows + most - 1) / most;
        const float* factors = shrinks != nullptr ? shrinks + c : nullptr;
        for (int64_t i = 0; i < tiles; ++i) {
            const int64_t begin = rows * i / tiles, count = rows * (i + 1) / tiles - begin;
            const Broadcast part{a.data + begin * (turned ? 1 : a.stride), a.stride};
            column_rows<Factors, most, vectors, turned>(
                part, b + c, y + begin * columns + c, factors, columns, count, inner
            );
        }
    }
    if constexpr (vectors > 1)
        if (c < columns) column_product<Factors, vectors - 1, turned>(a, b, y, shrinks, columns, rows, inner, c);
}

// Scores of keys from `first` on -> exp2(score - peak), 0 for keys that a row may not see.
template <class Factors>
inline void soften(const Tile& tile, int64_t first, int64_t count, bool masked) {
    for (int64_t c = 0; c < tile.columns; c += Vec::width) {
        float* column = tile.weights + c;
        const Vec old = load(tile.peaks + c);
        Vec peak = old;
        if (masked) {
            const Vec limit = splat(static_cast<float>(first)) - load(tile.limits + c);
            for (int64_t s = 0; s < count; ++s) {
                float* at = column + s * tile.columns;
                const Vec beyond = limit + splat(static_cast<float>(s));
                const Vec score = if_negative(beyond, load(at), splat(-__builtin_inff()));
                store(at, score);
                peak = max(peak, score);
            }
        } else {
            Vec other = peak;
            for (int64_t s = 0; s + 1 < count; s += 2) {
                peak = max(peak, load(column + s * tile.columns));
                other = max(other, load(column + (s + 1) * tile.columns));
            }
            peak = max(max(peak, other), load(column + (count - 1) * tile.columns));
        }
        const Vec shrink = exp2(old - peak);
        const Vec total = load(tile.totals + c) * shrink;
        store(tile.totals + c, total + Factors::weigh(column, count, tile.columns, peak));
        store(tile.peaks + c, peak);
        store(tile.shrinks + c, shrink);
    }
}

inline void finish(const Attention& p, const AttentionPart& part, const Tile& tile) {
    for (int64_t c = 0; c < tile.columns; c += Vec::width) {
        const int64_t rows = tile.rows - c < Vec::width ? tile.rows - c : Vec::width;
        const Vec scale = splat(1.0F) / load(tile.totals + c);
        for (int64_t k = 0; k < p.size; k += Vec::width) {
            const int64_t wide = p.size - k < Vec::width ? p.size - k : Vec::width;
            Vec square[Vec::width];
            float turned[Vec::width * Vec::width];
            for (int i = 0; i < Vec::width; ++i)
                square[i] = i < wide ? load(tile.sums + (k + i) * tile.columns + c) * scale : zero();
            transpose(square, turned, Vec::width);
            for (int64_t r = 0; r < rows; ++r) {
                const Vec values = load(turned + r * Vec::width);
                float* to = row_of(p.y, part, tile, c + r) + k;
                if (wide == Vec::width) {
                    store(to, values);
                } else {
                    store(to, values, wide);
                }
            }
        }
    }
}

// Factors as they are.
struct Singles {
    static int64_t steps(int64_t count) { return count; }  // of a product over so many
    static Vec add(Vec a, Vec b, Vec sum) { return fma(a, b, sum); }

    // Channels from `k` on of some queries -> the rows of the tile's queries.
    static void put_queries(Vec (&square)[Vec::width], float* queries, int64_t k, int64_t columns) {
        transpose(square, queries + k * columns, columns);
    }

    static Broadcast keys(const Broadcast& from, const Tile&, int64_t, int64_t) { return from; }

    // Read again and again: far apart they would push each other out.
    static Broadcast values(const Broadcast& from, const Tile& tile, int64_t count, int64_t size) {
        if (tile.columns <= Vec::width) return from;
        for (int64_t i = 0; i < count; ++i) {
            const float* row = from.data + i * from.stride;
            map(row, tile.copies + i * size, size, [](Vec v, int64_t) { return v; });
        }
        return {tile.copies, size};
    }

    // Scores of one vector of columns -> their exponentials, of which the sum is returned.
    static Vec weigh(float* column, int64_t count, int64_t columns, Vec peak) {
        Vec total = zero();
        for (int64_t s = 0; s < count; ++s) {
            const Vec weight = exp2(load(column + s * columns) - peak);
            store(column + s * columns, weight);
            total = total + weight;
        }
        return total;
    }
};

template <class Factors>
inline void attend_tile(const Attention& p, const AttentionPart& part, float* scratch) {
    const int64_t queries = part.queries.end - part.queries.begin;
    const Tile tile = make_tile(p, queries * (p.heads / p.kv_heads), scratch);
    start<Factors>(p, part, tile);
    const int64_t all = part.keys.end - part.keys.begin;
    const int64_t most = part.causal && part.seen + queries - 1 < all ? part.seen + queries - 1 : all;
    for (int64_t s = 0; s < most; s += key_block) {
        const int64_t count = most - s < key_block ? most - s : key_block;
        const Broadcast k{p.k.at(part.keys.begin + s, part.kv_head), p.k.token_stride};
        const Broadcast v{p.v.at(part.keys.begin + s, part.kv_head), p.v.token_stride};
        const Broadcast keys = Factors::keys(k, tile, count, p.size);
        column_product<Factors, column_vectors, false>(
            keys, tile.queries, tile.weights, nullptr, tile.columns, count, Factors::steps(p.size)
        );
        soften<Factors>(tile, s, count, part.causal && part.seen < s + count);
        const Broadcast values = Factors::values(v, tile, count, p.size);
        const float* shrinks = s > 0 ? tile.shrinks : nullptr;
        column_product<Factors, column_vectors, true>(
            values, tile.weights, tile.sums, shrinks, tile.columns, p.size, Factors::steps(count)
        );
    }
    finish(p, part, tile);
}

}  // namespace galago::GALAGO_ISA
