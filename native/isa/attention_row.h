// Attention of one query: its heads that share a key head meet each key and each value once, as they lie in
// memory. Dot products run along the channels; tiles (attention.h) would leave most of their columns empty.
#pragma once

namespace galago::GALAGO_ISA {

// Heads times keys, or heads times vectors of channels, that have their sums in registers together.
constexpr int row_heads = tile_rows * tile_vectors >= 16 ? 4 : 2;
constexpr int row_keys = 4, row_vectors = 4;
// Keys, and values, that are read before anything is computed with them.
constexpr int64_t brought = 4 * key_block;

struct Row {
    int64_t heads, size, padded;      // of the query that share the key head; channels, and padded
    float *queries, *sums;            // [heads, padded]; queries are scaled for exp2
    float* weights;                   // [heads, key_block]: scores, then their exponentials
    float *peaks, *shrinks, *totals;  // [heads]: largest scores, factors of old sums
};

inline Row make_row(const RowAttention& p, float* scratch) {
    Row row{};
    row.heads = p.heads;
    row.size = p.size;
    row.padded = padded(p.size);
    const auto take = [&scratch](int64_t floats) { return scratch += floats, scratch - floats; };
    row.queries = take(row.heads * row.padded);
    row.sums = take(row.heads * row.padded);
    row.weights = take(row.heads * key_block);
    row.peaks = take(padded(row.heads));
    row.shrinks = take(padded(row.heads));
    row.totals = take(padded(row.heads));
    const Vec scale = query_scale(p.size);
    for (int64_t h = 0; h < row.heads; ++h) {
        float* to = row.queries + h * row.padded;
        store(to + row.padded - Vec::width, zero());
        map(p.q[h], to, p.size, [scale](Vec v, int64_t) { return v * scale; });
    }
    for (int64_t h = 0; h < row.heads; h += Vec::width) {
        store(row.peaks + h, splat(-__builtin_inff()));
        store(row.totals + h, zero());
    }
    return row;
}

// Reads rows, in the order of their addresses and doing nothing else, so that they come at the rate of memory: a
// processor fetches ahead what is read like that, and not what is met between sums. What it doesn't, the
// addresses of the next small pages, is asked for here. Fetching by instructions leaves the sums no places for
// lines on their way (LOG 2026-11-29).
inline void bring(const Past& rows, int64_t begin, int64_t end, int64_t size) {
    constexpr int64_t line = 64 / sizeof(float), page = 4096, pages = 3;
    for (int64_t i = begin; i < end; ++i) {
        const float* row = rows[i];
        for (int64_t c = 0; c < size; c += line) {
            if (reinterpret_cast<uintptr_t>(row + c) % page < line * sizeof(float))
                __builtin_prefetch(row + c + pages * page / sizeof(float));
            static_cast<void>(*static_cast<const volatile float*>(row + c));
        }
    }
}

template <int n>
struct Number {
    static constexpr int value = n;
};

// Calls f(Number, first) for `heads` at a time, and for what is left by halves.
template <int heads, class F>
inline void by_heads(int64_t count, const F& f, int64_t first = 0) {
    for (; first + heads <= count; first += heads) f(Number<heads>{}, first);
    if constexpr (heads > 1)
        if (first < count) by_heads<heads / 2>(count, f, first);
}

// Scores of some heads with `row_keys` keys.
template <int heads>
inline void score(const Row& row, int64_t first, const float* const* key, float* scores) {
    const float* queries = row.queries + first * row.padded;
    Vec sums[heads][row_keys];
    for (int h = 0; h < heads; ++h)
        for (int i = 0; i < row_keys; ++i) sums[h][i] = zero();
    const auto add = [&](int64_t c, const auto& get) {
        Vec part[row_keys];
        for (int i = 0; i < row_keys; ++i) part[i] = get(key[i] + c);
#pragma GCC unroll 4
        for (int h = 0; h < heads; ++h) {
            const Vec query = load(queries + h * row.padded + c);
#pragma GCC unroll 4
            for (int i = 0; i < row_keys; ++i) sums[h][i] = fma(query, part[i], sums[h][i]);
        }
    };
    int64_t c = 0;
    for (; c + Vec::width <= row.size; c += Vec::width) add(c, [](const float* at) { return load(at); });
    if (c < row.size) add(c, [&](const float* at) { return load(at, row.size - c); });
#pragma GCC unroll 4
    for (int h = 0; h < heads; ++h)
        store_sums(scores + (first + h) * key_block, sums[h][0], sums[h][1], sums[h][2], sums[h][3]);
}

inline float greatest(Vec x) {
    float lanes[Vec::width];
    store(lanes, x);
    float most = lanes[0];
    for (int i = 1; i < Vec::width; ++i) most = lanes[i] > most ? lanes[i] : most;
    return most;
}

// Scores of a block of keys -> exp2(score - peak).
inline void soften(const Row& row, int64_t count) {
    float* const olds = row.shrinks;  // until they are known
    for (int64_t h = 0; h < row.heads; ++h) {
        float* scores = row.weights + h * key_block;
        Vec peak = splat(row.peaks[h]);
        for (int64_t s = count; s < padded(count); ++s) scores[s] = -__builtin_inff();
        for (int64_t s = 0; s < count; s += Vec::width) peak = max(peak, load(scores + s));
        olds[h] = row.peaks[h];
        row.peaks[h] = greatest(peak);
    }
    for (int64_t h = 0; h < row.heads; h += Vec::width) {
        const Vec shrink = exp2(load(olds + h) - load(row.peaks + h));
        store(row.shrinks + h, shrink);
        store(row.totals + h, load(row.totals + h) * shrink);
    }
    for (int64_t h = 0; h < row.heads; ++h) {
        float* scores = row.weights + h * key_block;
        const Vec peak = splat(row.peaks[h]);
        Vec total = zero();
        for (int64_t s = 0; s < count; s += Vec::width) {
            const Vec weight = exp2(load(scores + s) - peak);
            store(scores + s, weight);
            total = total + weight;
        }
        row.totals[h] += sum(total);
    }
}

// Adds some weighted values to some channels of some heads, from `c` on, which end within the vector where it
// is not whole.
template <int heads, int vectors, bool whole>
inline void add_values(const RowAttention& p, const Row& row, int64_t first, int64_t c, Span block) {
    const bool begin = block.begin == 0;
    const float* weights = row.weights + first * key_block;
    float* to = row.sums + first * row.padded + c;
    Vec sums[heads][vectors];
#pragma GCC unroll 4
    for (int h = 0; h < heads; ++h) {
        const Vec shrink = splat(row.shrinks[first + h]);
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v)
            sums[h][v] = begin ? zero() : load(to + h * row.padded + v * Vec::width) * shrink;
    }
    const int64_t count = block.end - block.begin;
    for (int64_t s = 0; s < count; ++s) {
        const float* from = p.values[block.begin + s] + c;
        Vec value[vectors];
        for (int v = 0; v < vectors; ++v)
            value[v] = whole ? load(from + v * Vec::width) : load(from + v * Vec::width, row.size - c);
#pragma GCC unroll 4
        for (int h = 0; h < heads; ++h) {
            const Vec weight = splat(weights[h * key_block + s]);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; ++v) sums[h][v] = fma(weight, value[v], sums[h][v]);
        }
    }
#pragma GCC unroll 4
    for (int h = 0; h < heads; ++h)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) store(to + h * row.padded + v * Vec::width, sums[h][v]);
}

inline void attend_row(const RowAttention& p, float* scratch) {
    const Row row = make_row(p, scratch);
    for (Span block{0, 0}; block.begin < p.count; block.begin = block.end) {
        block.end = p.count - block.begin < key_block ? p.count : block.begin + key_block;
        if (block.begin % brought == 0) {
            const int64_t begin = block.begin > p.met ? block.begin : p.met, end = block.begin + brought;
            bring(p.keys, begin, end < p.count ? end : p.count, p.size);
            bring(p.values, begin, end < p.count ? end : p.count, p.size);
        }
        for (int64_t s = block.begin; s < block.end; s += row_keys) {
            const float* keys[row_keys];  // those beyond the end repeat the last
            for (int i = 0; i < row_keys; ++i) keys[i] = p.keys[s + i < block.end ? s + i : block.end - 1];
            by_heads<row_heads>(row.heads, [&](auto heads, int64_t first) {
                score<heads.value>(row, first, keys, row.weights + s - block.begin);
            });
        }
        soften(row, block.end - block.begin);
        by_heads<row_heads>(row.heads, [&](auto heads, int64_t first) {
            constexpr int64_t wide = row_vectors * Vec::width;
            int64_t c = 0;
            for (; c + wide <= p.size; c += wide)
                add_values<heads.value, row_vectors, true>(p, row, first, c, block);
            for (; c + Vec::width <= p.size; c += Vec::width)
                add_values<heads.value, 1, true>(p, row, first, c, block);
            if (c < p.size) add_values<heads.value, 1, false>(p, row, first, c, block);
        });
    }
    for (int64_t h = 0; h < row.heads; ++h) {
        const Vec scale = splat(1.0F / row.totals[h]);
        map(row.sums + h * row.padded, p.y[h], p.size, [scale](Vec v, int64_t) { return v * scale; });
    }
}

template <class Factors = Singles>
inline void attention(const Attention& p, const AttentionPart& part, float* scratch) {
    if (part.queries.end - part.queries.begin > 1) return attend_tile<Factors>(p, part, scratch);
    const int64_t all = part.keys.end - part.keys.begin, share = p.heads / p.kv_heads;
    const int64_t count = part.causal && part.seen < all ? part.seen : all;
    const Past keys = Past::of(p.k, part.kv_head, part.keys.begin, count);
    const Past values = Past::of(p.v, part.kv_head, part.keys.begin, count);
    const Rows<const float> q{p.q.at(part.queries.begin, part.kv_head * share), p.q.head_stride};
    const Rows<float> y{p.y.at(part.queries.begin, part.kv_head * share), p.y.head_stride};
    attend_row({q, keys, values, count, y, share, p.size}, scratch);
}

}  // namespace galago::GALAGO_ISA
