// Attention of one query: its heads that share a key head meet each key and each value once, as they lie in
// memory. Dot products run along the channels; tiles (attention.h) would leave most of their columns empty.
#pragma once

namespace galago::GALAGO_ISA {

// Heads times keys, or heads times vectors of channels, that have their sums in registers together.
constexpr int row_heads = tile_rows * tile_vectors >= 16 ? 4 : 2;
constexpr int row_keys = 4, row_vectors = 4;

struct Row {
    int64_t heads, size, padded;      // of the query that share the key head; channels, and padded
    float *queries, *sums;            // [heads, padded]; queries are scaled for exp2
    float* weights;                   // [heads, key_block]: scores, then their exponentials
    float *peaks, *shrinks, *totals;  // [heads]: largest scores, factors of old sums
};

inline Row make_row(const Attention& p, int64_t kv_head, const float* query, float* scratch) {
    Row row{};
    row.heads = p.heads / p.kv_heads;
    row.size = p.size;
    row.padded = padded(p.size);
    const auto take = [&scratch](int64_t floats) { return scratch += floats, scratch - floats; };
    row.queries = take(row.heads * row.padded);
    row.sums = take(row.heads * row.padded);
    row.weights = take(row.heads * key_block);
    row.peaks = take(padded(row.heads));
    row.shrinks = take(padded(row.heads));
    row.totals = take(padded(row.heads));
    const Vec scale = query_scale(p);
    for (int64_t h = 0; h < row.heads; ++h) {
        float* to = row.queries + h * row.padded;
        store(to + row.padded - Vec::width, zero());
        map(query + (kv_head * row.heads + h) * p.q.head_stride, to, p.size, [scale](Vec v, int64_t) {
            return v * scale;
        });
    }
    for (int64_t h = 0; h < row.heads; h += Vec::width) {
        store(row.peaks + h, splat(-__builtin_inff()));
        store(row.totals + h, zero());
    }
    return row;
}

// Fetches rows from `begin` on, of which there are `count`. Memory is kept busy: while scores are computed,
// the values of the block are fetched, and while those are added up, the keys of the next.
inline void fetch(Rows<const float> rows, int64_t begin, int64_t end, int64_t count, int64_t size) {
    for (int64_t i = begin; i < end && i < count; ++i)
        for (int64_t c = 0; c < size; c += 16) __builtin_prefetch(rows[i] + c, 0, 2);
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

// Scores of `row_keys` keys with some heads; of `count` keys, those beyond repeat the last.
template <int heads>
inline void score(const Row& row, int64_t first, Rows<const float> keys, int64_t count, float* scores) {
    const float* queries = row.queries + first * row.padded;
    const float* key[row_keys];
    for (int i = 0; i < row_keys; ++i) key[i] = keys[i < count ? i : count - 1];
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

// Adds `count` weighted values to some channels of some heads, from `c` on, which end within the vector where it
// is not whole. Meanwhile the first `nexts` rows of `next` are fetched.
template <int heads, int vectors, bool whole>
inline void add_values(
    const Row& row, int64_t first, int64_t c, Rows<const float> values, int64_t count, bool begin,
    Rows<const float> next, int64_t nexts
) {
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
    for (int64_t s = 0; s < count; ++s) {
        if (s < nexts) fetch(next, s, s + 1, nexts, row.size);
        const float* from = values[s] + c;
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

inline void attend_row(const Attention& p, const AttentionPart& part, float* scratch) {
    const Row row = make_row(p, part.kv_head, p.q.at(part.queries.begin, 0), scratch);
    const int64_t all = part.keys.end - part.keys.begin;
    const int64_t seen = part.causal && part.seen < all ? part.seen : all;
    const Rows<const float> keys{p.k.at(part.keys.begin, part.kv_head), p.k.token_stride};
    const Rows<const float> values{p.v.at(part.keys.begin, part.kv_head), p.v.token_stride};
    fetch(keys, 0, key_block, seen, p.size);
    for (int64_t s = 0; s < seen; s += key_block) {
        const int64_t count = seen - s < key_block ? seen - s : key_block;
        for (int64_t i = 0; i < count; i += row_keys) {
            fetch(values, s + i, s + i + row_keys, seen, p.size);
            by_heads<row_heads>(row.heads, [&](auto heads, int64_t first) {
                const Rows<const float> those{keys[s + i], keys.stride};
                score<heads.value>(row, first, those, count - i, row.weights + i);
            });
        }
        soften(row, count);
        const Rows<const float> those{values[s], values.stride}, next{keys[s + count], keys.stride};
        by_heads<row_heads>(row.heads, [&](auto heads, int64_t first) {
            constexpr int64_t wide = row_vectors * Vec::width;
            const auto nexts = [&](int64_t c) { return first + c == 0 ? seen - s - count : 0; };
            int64_t c = 0;
            for (; c + wide <= p.size; c += wide)
                add_values<heads.value, row_vectors, true>(row, first, c, those, count, s == 0, next, nexts(c));
            for (; c + Vec::width <= p.size; c += Vec::width)
                add_values<heads.value, 1, true>(row, first, c, those, count, s == 0, next, nexts(c));
            if (c < p.size)
                add_values<heads.value, 1, false>(row, first, c, those, count, s == 0, next, nexts(c));
        });
    }
    for (int64_t h = 0; h < row.heads; ++h) {
        const Vec scale = splat(1.0F / row.totals[h]);
        float* to = p.y.at(part.queries.begin, part.kv_head * row.heads + h);
        map(row.sums + h * row.padded, to, p.size, [scale](Vec v, int64_t) { return v * scale; });
    }
}

inline void attention(const Attention& p, const AttentionPart& part, float* scratch) {
    (part.queries.end - part.queries.begin == 1 ? attend_row : attend_tile)(p, part, scratch);
}

}  // namespace galago::GALAGO_ISA
