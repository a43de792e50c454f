// Attention in tiles whose factors are rounded to bfloat16: two of them lie in the place of a float, and one
// instruction multiplies and adds up both.
#pragma once

namespace galago::GALAGO_ISA {

// Pairs lie along what is summed: two channels of a query or key, the weights of two keys, two values of a channel.
struct Halves {
    static int64_t steps(int64_t count) { return (count + 1) / 2; }
    static Vec add(Vec a, Vec b, Vec sum) { return add_pairs(a, b, sum); }

    static void put_queries(Vec (&square)[Vec::width], float* queries, int64_t k, int64_t columns) {
        float turned[Vec::width * Vec::width];
        transpose(square, turned, Vec::width);
        for (int64_t i = 0; i < Vec::width; i += 2) {
            const float* even = turned + i * Vec::width;
            store(queries + (k + i) / 2 * columns, pairs_of(load(even), load(even + Vec::width)));
        }
    }

    static Broadcast keys(const Broadcast& from, const Tile& tile, int64_t count, int64_t size) {
        const int64_t stride = steps(size);
        for (int64_t i = 0; i < count; ++i) {
            const float* row = from.data + i * from.stride;
            float* to = tile.copies + i * stride;
            int64_t c = 0;
            for (; c + 2 * Vec::width <= size; c += 2 * Vec::width)
                store(to + c / 2, pairs_along(load(row + c), load(row + c + Vec::width)));
            if (c == size) continue;
            const int64_t left = size - c, more = left - Vec::width;
            const Vec first = more < 0 ? load(row + c, left) : load(row + c);
            const Vec rest = more > 0 ? load(row + c + Vec::width, more) : zero();
            store(to + c / 2, pairs_along(first, rest), steps(left));
        }
        return {tile.copies, stride};
    }

    static Broadcast values(const Broadcast& from, const Tile& tile, int64_t count, int64_t size) {
        for (int64_t i = 0; i < count; i += 2) {
            const float* even = from.data + i * from.stride;
            const float* odd = i + 1 < count ? even + from.stride : nullptr;
            float* to = tile.copies + i / 2 * size;
            for (int64_t c = 0; c < size; c += Vec::width) {
                const int64_t wide = size - c < Vec::width ? size - c : Vec::width;
                const Vec second = odd != nullptr ? load(odd + c, wide) : zero();
                store(to + c, pairs_of(load(even + c, wide), second), wide);
            }
        }
        return {tile.copies, size};
    }

    static Vec weigh(float* column, int64_t count, int64_t columns, Vec peak) {
        Vec total = zero();
        for (int64_t s = 0; s < count; s += 2) {
            const float* scores = column + s * columns;
            const Vec even = exp2(load(scores) - peak);
            const Vec odd = s + 1 < count ? exp2(load(scores + columns) - peak) : zero();
            store(column + s / 2 * columns, pairs_of(even, odd));
            total = total + even + odd;
        }
        return total;
    }
};

}  // namespace galago::GALAGO_ISA
