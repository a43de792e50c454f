// Attention in tiles with online softmax: keys come in blocks, and when a larger score comes, what is summed
// shrinks. A tile has several queries, and all query heads that share a key head.
#pragma once

namespace galago::GALAGO_ISA {

constexpr int64_t key_block = 64;  // multiple of tile_vectors * Vec::width
constexpr int64_t attention_rows = 64;
constexpr int64_t turn_rows = 6;  // from so many rows on, turning the keys pays

inline int64_t padded(int64_t n) { return (n + Vec::width - 1) / Vec::width * Vec::width; }

struct Tile {
    int64_t rows, share;  // row = query * share + head within the key head
    Rows<float> queries;  // [rows, size], scaled
    Rows<float> keys;     // [size, key_block]
    Rows<float> weights;  // [rows, key_block]: scores, then their exponentials
    Rows<float> sums;     // [rows, size]
    float *peaks, *totals;
};

inline int64_t attention_scratch(const Attention& p, int64_t rows) {
    const int64_t size = padded(p.size);
    return rows * size * 2 + size * key_block + rows * key_block + 2 * padded(rows);
}

inline Tile make_tile(const Attention& p, int64_t rows, float* scratch) {
    const int64_t size = padded(p.size);
    Tile tile{};
    tile.rows = rows;
    tile.share = p.heads / p.kv_heads;
    const auto take = [&scratch](int64_t floats) { return scratch += floats, scratch - floats; };
    tile.queries = {take(rows * size), size};
    tile.sums = {take(rows * size), size};
    tile.keys = {take(size * key_block), key_block};
    tile.weights = {take(rows * key_block), key_block};
    tile.peaks = take(padded(rows));
    tile.totals = take(padded(rows));
    return tile;
}

inline void start(const Attention& p, const AttentionPart& part, const Tile& tile) {
    const Vec scale = splat(1.0F / __builtin_sqrtf(static_cast<float>(p.size)));
    for (int64_t r = 0; r < tile.rows; ++r) {
        const float* q =
            p.q.at(part.queries.begin + r / tile.share, part.kv_head * tile.share + r % tile.share);
        map(q, tile.queries[r], p.size, [&](Vec v, int64_t) { return v * scale; });
        for (int64_t i = 0; i < padded(p.size); i += Vec::width) store(tile.sums[r] + i, zero());
        tile.peaks[r] = -__builtin_inff();
        tile.totals[r] = 0;
    }
}

inline void score(const Attention& p, const Tile& tile, const float* keys, int64_t count) {
    if (tile.rows >= turn_rows || count < 4) {
        transpose_block<float>(
            {keys, p.k.token_stride}, tile.keys.data, key_block, count, p.size, padded(count)
        );
        outer_product(
            {tile.queries.data, tile.queries.stride}, {tile.keys.data, key_block}, tile.weights, tile.rows,
            count, p.size, false
        );
        return;
    }
    for (int64_t s = 0; s < count; s += 4) {
        // The last four keys are taken again when their number is no multiple of four.
        const int64_t four = s + 4 <= count ? s : count - 4;
        for (int64_t r = 0; r < tile.rows; ++r)
            dot_four(
                tile.queries[r], {keys + four * p.k.token_stride, p.k.token_stride}, tile.weights[r] + four,
                p.size
            );
    }
}

// Scores -> exp(score - peak) for the first `seen` keys, 0 for the others up to `count`.
inline void soften(const Tile& tile, int64_t r, int64_t seen, int64_t count, int64_t size) {
    float* row = tile.weights[r];
    for (int64_t s = seen; s < padded(count); ++s) row[s] = seen > 0 ? -__builtin_inff() : 0.0F;
    if (seen <= 0) return;
    Vec high = load(row);
    for (int64_t s = Vec::width; s < count; s += Vec::width) high = max(high, load(row + s));
    const float old = tile.peaks[r], block = largest(high);
    const float peak = old > block ? old : block;
    Vec total = zero();
    for (int64_t s = 0; s < count; s += Vec::width) {
        const Vec weight = exp(load(row + s) - splat(peak));
        store(row + s, weight);
        total = total + weight;
    }
    if (peak != old) {
        const Vec shrink = exp(splat(old) - splat(peak));
        for (int64_t i = 0; i < size; i += Vec::width)
            store(tile.sums[r] + i, load(tile.sums[r] + i) * shrink);
        float factor[Vec::width];
        store(factor, shrink);
        tile.totals[r] *= factor[0];
    }
    tile.totals[r] += sum(total);
    tile.peaks[r] = peak;
}

inline void finish(const Attention& p, const AttentionPart& part, const Tile& tile) {
    for (int64_t r = 0; r < tile.rows; ++r) {
        float* y = p.y.at(part.queries.begin + r / tile.share, part.kv_head * tile.share + r % tile.share);
        const Vec scale = splat(1.0F / tile.totals[r]);
        map(tile.sums[r], y, p.size, [&](Vec v, int64_t) { return v * scale; });
    }
}

inline void attention(const Attention& p, const AttentionPart& part, float* scratch) {
    const int64_t queries = part.queries.end - part.queries.begin;
    const Tile tile = make_tile(p, queries * (p.heads / p.kv_heads), scratch);
    start(p, part, tile);
    const int64_t all = part.keys.end - part.keys.begin;
    const int64_t most = part.causal && part.seen + queries - 1 < all ? part.seen + queries - 1 : all;
    for (int64_t s = 0; s < most; s += key_block) {
        const int64_t count = most - s < key_block ? most - s : key_block;
        score(p, tile, p.k.at(part.keys.begin + s, part.kv_head), count);
        for (int64_t r = 0; r < tile.rows; ++r) {
            const int64_t seen = part.causal ? part.seen + r / tile.share - s : count;
            soften(tile, r, seen < count ? seen : count, count, p.size);
        }
        outer_product(
            {tile.weights.data, key_block}, {p.v.at(part.keys.begin + s, part.kv_head), p.v.token_stride},
            tile.sums, tile.rows, p.size, count, true
        );
    }
    finish(p, part, tile);
}

}  // namespace galago::GALAGO_ISA
