#include "ops.h"

#include <algorithm>
#include <atomic>

#include "pieces.h"

namespace galago::ops {
namespace {

// piece(span) over [0, count), cut into equal spans when the cost is worth it.
template <class F>
void share(const Place& place, double cost, int64_t count, const F& piece) {
    const int64_t threads = place.pool.threads();
    const int64_t parts =
        cost < worth_sharing || threads == 1 ? 1 : std::min(count, threads * parts_per_thread);
    if (count == 0) return;
    if (parts == 1) return piece(Span{0, count});
    place.pool.run(parts, [&](int64_t i) { piece(Span{count * i / parts, count * (i + 1) / parts}); });
}

// Collects failures of parts on any thread.
class Outcome {
public:
    void fail() { failed_.store(true, std::memory_order_relaxed); }
    Status status() const { return failed_.load() ? Status::out_of_memory : Status::done; }

private:
    std::atomic<bool> failed_{false};
};

float* floats(int64_t count) {
    return static_cast<float*>(scratch(Scratch::own, static_cast<size_t>(count) * sizeof(float)));
}

template <class W>
Status dense(
    const Place& place, const DenseProduct<W>& p, void (*kernel)(const DenseProduct<W>&, Span, float*)
) {
    const Kernels& k = place.kernels;
    Outcome outcome;
    const int64_t panels = p.tokens == 0 ? 0 : ceil_div(p.rows, k.dense_panel);
    share(place, dense_cost(p.tokens, p.rows, p.cols), panels, [&](Span part) {
        float* memory = floats(k.dense_scratch);
        if (memory == nullptr) return outcome.fail();
        kernel(p, {part.begin * k.dense_panel, std::min(part.end * k.dense_panel, p.rows)}, memory);
    });
    return outcome.status();
}

// Some tokens, rounded; the first of them is token `start`.
struct Chunk {
    Activations rounded;
    int64_t start;
};

// The tokens of a product, by owner and round. Many tokens are divided between the threads, so that one finds
// in its own cache what it wrote for them; few belong to all, as each owner makes bytes of all nibbles. What
// is rounded and multiplied in a round, and its sums, should stay in the caches.
class Chunks {
public:
    Chunks(const Kernels& k, const PackedMatrix& w, int64_t tokens, int64_t threads)
        : kernels_(k), group_(w.group), cols_(w.padded_cols()), groups_(w.groups()), tokens_(tokens),
          owners_(tokens < threads * least_owned ? 1 : threads) {
        const int64_t tile = k.packed_tile, most = std::max(k.packed_most / tile, int64_t{1});
        const int64_t tiles = std::max(k.packed_cache / std::max<int64_t>(cols_, 1) / tile, int64_t{4});
        const int64_t fit = std::min(tiles, most) * tile;
        owned_ = ceil_div(ceil_div(tokens, owners_), tile) * tile;
        rounds_ = ceil_div(owned_, fit);
        tiles_ = ceil_div(owned_, rounds_ * tile);
    }

    int64_t owners() const { return owners_; }
    int64_t rounds() const { return rounds_; }
    int64_t tiles() const { return tiles_; }  // the most of a chunk
    int64_t tokens() const { return tiles_ * kernels_.packed_tile; }

    // Memory for a round; false when it is out.
    bool reserve() {
        const auto bytes = static_cast<size_t>(owners_ * chunk_bytes());
        memory_ = static_cast<int8_t*>(scratch(Scratch::shared, bytes));
        return memory_ != nullptr;
    }

    // May be empty.
    Chunk at(int64_t round, int64_t owner) const {
        const int64_t begin = owner * owned_ + round * tokens();
        const int64_t end = std::min((owner + 1) * owned_, tokens_);
        const int64_t count = std::clamp(end - begin, int64_t{0}, tokens());
        int8_t* codes = memory_ + owner * chunk_bytes();
        auto* scales = reinterpret_cast<float*>(codes + tokens() * cols_);
        auto* balances = reinterpret_cast<int32_t*>(scales + tokens() * groups_);
        return {{codes, scales, balances, count, kernels_.packed_layout(count, group_)}, begin};
    }

private:
    static constexpr int64_t least_owned = 256;  // tokens of a thread (LOG 2026-11-29)

    int64_t chunk_bytes() const {
        const auto factors = 2 * groups_ * static_cast<int64_t>(sizeof(float));
        return ceil_div(tokens() * (cols_ + factors), alignment) * static_cast<int64_t>(alignment);
    }

    const Kernels& kernels_;
    const int64_t group_, cols_, groups_, tokens_, owners_;
    int64_t owned_, rounds_, tiles_;
    int8_t* memory_ = nullptr;
};

// Rounds some tiles of a round, counted on from one owner to the next. False when memory is out.
bool round_tiles(
    const Kernels& k, Rows<const float> x, const PackedMatrix& w, const Chunks& chunks, int64_t round,
    Span part
) {
    auto* row = static_cast<int8_t*>(scratch(Scratch::own, static_cast<size_t>(w.padded_cols())));
    if (row == nullptr) return false;
    const int64_t tiles = chunks.tiles();
    for (int64_t owner = part.begin / tiles; owner * tiles < part.end; ++owner) {
        const auto [rounded, start] = chunks.at(round, owner);
        const int64_t first = owner * tiles, tile = rounded.layout.tile;
        const int64_t end = std::min((part.end - first) * tile, rounded.tokens);
        const Span tokens{std::max(part.begin - first, int64_t{0}) * tile, end};
        k.quantise({{x[start], x.stride}, w.cols, w.group, rounded}, tokens, row);
    }
    return true;
}

// piece(owner, span) until every owner's tokens have met all panels, in spans that shrink.
template <class F>
void share_panels(Pool& pool, int64_t threads, int64_t owners, int64_t panels, const F& piece) {
    const Shrinking spans(panels, threads);
    const int64_t count = spans.count(), sizes = ceil_div(count, threads);
    if (owners > 1) return pool.run(owners * count, [&](int64_t i) { piece(i / count, spans[i % count]); });
    // A thread's own pieces are one of each size.
    pool.run(sizes * threads, [&](int64_t i) { piece(0, spans[i % sizes * threads + i / sizes]); });
}

// Rounds x, and calls multiply(chunk, panels), which is false when memory is out, until all tokens have met
// all `panels`, at that cost.
template <class F>
Status in_chunks(
    const Place& place, Rows<const float> x, int64_t tokens, const PackedMatrix& w, int64_t panels,
    double cost, const F& multiply
) {
    if (tokens == 0) return Status::done;
    const int64_t threads = cost < worth_sharing ? 1 : place.pool.threads();
    Chunks chunks(place.kernels, w, tokens, threads);
    if (!chunks.reserve()) return Status::out_of_memory;
    const int64_t owners = chunks.owners();
    const double rounding = pass_cost(owners * chunks.tokens() * w.cols);
    Outcome outcome;
    for (int64_t round = 0; round < chunks.rounds(); ++round) {
        share(place, rounding, owners * chunks.tiles(), [&](Span part) {
            if (!round_tiles(place.kernels, x, w, chunks, round, part)) outcome.fail();
        });
        share_panels(place.pool, threads, owners, panels, [&](int64_t owner, Span part) {
            const Chunk chunk = chunks.at(round, owner);
            if (chunk.rounded.tokens > 0 && !multiply(chunk, part)) outcome.fail();
        });
    }
    return outcome.status();
}

}  // namespace

Status linear(const Place& place, const DenseProduct<float>& p) {
    return dense(place, p, place.kernels.linear_f32);
}

Status linear(const Place& place, const DenseProduct<uint16_t>& p) {
    return dense(place, p, place.kernels.linear_bf16);
}

bool multiply(
    const Kernels& k, const Target* targets, int64_t count, const Activations& rounded, int64_t start,
    Span part
) {
    int64_t first = 0;  // panel of this target among those of all
    for (int64_t i = 0; i < count; ++i) {
        const PackedProduct product = product_of(targets[i], rounded, start);
        const int64_t own = targets[i].weight.panels();
        const Span mine{std::max(part.begin - first, int64_t{0}), std::min(part.end - first, own)};
        first += own;
        if (mine.begin >= mine.end) continue;
        void* memory = scratch(Scratch::own, static_cast<size_t>(k.packed_scratch(product)));
        if (memory == nullptr) return false;
        k.linear_packed(product, mine, memory);
    }
    return true;
}

Status linear(
    const Place& place, Rows<const float> x, int64_t tokens, const Target* targets, int64_t count
) {
    int64_t rows = 0, panels = 0;
    for (int64_t i = 0; i < count; ++i) {
        rows += targets[i].weight.rows;
        panels += targets[i].weight.panels();
    }
    const PackedMatrix& w = targets[0].weight;
    const double cost = packed_cost(tokens, rows, w.padded_cols());
    return in_chunks(place, x, tokens, w, panels, cost, [&](const Chunk& chunk, Span part) {
        return multiply(place.kernels, targets, count, chunk.rounded, chunk.start, part);
    });
}

bool multiply_gated(
    const Kernels& k, const Target& gate, const Target& up, const Activations& rounded, int64_t start,
    Span part
) {
    constexpr int64_t at_once = 2;  // panels whose halves stay in the cache until they are one
    const PackedMatrix& w = gate.weight;
    PackedProduct halves[] = {product_of(gate, rounded, start), product_of(up, rounded, start)};
    const Rows<float> y = halves[0].y;
    const int64_t most = part.end - part.begin;
    const int64_t step = rounded.tokens <= rounded.layout.tile ? most : std::min(at_once, most);
    const int64_t wide = step * panel_rows;
    const auto bytes = static_cast<size_t>(ceil_div(k.packed_scratch(halves[0]), 64) * 64);
    const size_t half = static_cast<size_t>(rounded.tokens * wide) * sizeof(float);
    auto* memory = static_cast<uint8_t*>(scratch(Scratch::own, bytes + 2 * half));
    if (memory == nullptr) return false;
    float* sums[] = {
        reinterpret_cast<float*>(memory + bytes), reinterpret_cast<float*>(memory + bytes + half)
    };
    for (Span some{part.begin, 0}; some.begin < part.end; some.begin = some.end) {
        some.end = std::min(some.begin + step, part.end);
        const int64_t n = some.begin * panel_rows, rows = std::min(some.end * panel_rows, w.rows) - n;
        for (int i = 0; i < 2; ++i) {
            PackedProduct product = halves[i];
            product.y = {sums[i] - n, wide};
            k.linear_packed(product, some, memory);
        }
        for (int64_t t = 0; t < rounded.tokens; ++t)
            k.silu_mul(sums[0] + t * wide, sums[1] + t * wide, y[t] + n, rows);
    }
    return true;
}

Status gated(
    const Place& place, Rows<const float> x, int64_t tokens, const Target& gate, const Target& up
) {
    const PackedMatrix& w = gate.weight;
    const double cost = 2 * packed_cost(tokens, w.rows, w.padded_cols());
    return in_chunks(place, x, tokens, w, w.panels(), cost, [&](const Chunk& chunk, Span part) {
        return multiply_gated(place.kernels, gate, up, chunk.rounded, chunk.start, part);
    });
}

bool pack(const Place& place, const Pack& p) {
    std::atomic<bool> good{true};
    share(place, pack_cost(p.rows * p.cols), ceil_div(p.rows, panel_rows), [&](Span panels) {
        if (!place.kernels.pack(p, panels)) good.store(false, std::memory_order_relaxed);
    });
    return good.load();
}

Status rms_norm(const Place& place, const Norm& p, int64_t tokens) {
    share(place, pass_cost(tokens * p.cols), tokens, [&](Span part) { place.kernels.rms_norm(p, part); });
    return Status::done;
}

Status layer_norm(const Place& place, const Norm& p, int64_t tokens) {
    share(place, pass_cost(tokens * p.cols), tokens, [&](Span part) { place.kernels.layer_norm(p, part); });
    return Status::done;
}

Status rotate(const Place& place, const Rotate& p, int64_t tokens) {
    const double cost = pass_cost(tokens * p.heads * p.size);
    share(place, cost, tokens, [&](Span part) { place.kernels.rotate(p, part); });
    return Status::done;
}

Status attention(
    const Place& place, const Attention& p, int64_t tokens, int64_t keys, bool causal, Segments segments,
    bool rounded
) {
    const Kernels& k = place.kernels;
    const auto attend = rounded && k.attention_rounded != nullptr ? k.attention_rounded : k.attention;
    const int64_t share_heads = p.heads / p.kv_heads;
    const int64_t queries = std::max(k.attention_rows / share_heads, int64_t{1});
    const int64_t floats_needed = k.attention_scratch(p, queries * share_heads);

    // first[i]: how many parts of one key head come before segment i.
    const int64_t count = segments.bounds == nullptr ? 1 : segments.count;
    const auto begin_of = [&](int64_t i) -> int64_t {
        return segments.bounds == nullptr ? 0 : segments.bounds[i];
    };
    const auto end_of = [&](int64_t i) { return segments.bounds == nullptr ? tokens : begin_of(i + 1); };
    auto* first =
        static_cast<int64_t*>(scratch(Scratch::shared, static_cast<size_t>(count + 1) * sizeof(int64_t)));
    if (first == nullptr) return Status::out_of_memory;
    first[0] = 0;
    double pairs = 0;
    for (int64_t i = 0; i < count; ++i) {
        const int64_t length = end_of(i) - begin_of(i);
        first[i + 1] = first[i] + ceil_div(length, queries);
        pairs +=
            static_cast<double>(length) * static_cast<double>(segments.bounds == nullptr ? keys : length);
    }

    Outcome outcome;
    const auto piece = [&](int64_t index) {
        float* memory = floats(floats_needed);
        if (memory == nullptr) return outcome.fail();
        const int64_t block = index / p.kv_heads;
        const int64_t i = std::upper_bound(first, first + count + 1, block) - first - 1;
        const int64_t begin = begin_of(i) + (block - first[i]) * queries;
        const Span all = segments.bounds == nullptr ? Span{0, keys} : Span{begin_of(i), end_of(i)};
        const int64_t seen = causal ? keys - tokens + begin + 1 : 0;
        const AttentionPart part{
            {begin, std::min(begin + queries, end_of(i))}, all, index % p.kv_heads, causal, seen
        };
        attend(p, part, memory);
    };
    const int64_t pieces = first[count] * p.kv_heads;
    if (attention_cost(1, 1, p.heads, p.size) * pairs < worth_sharing) {
        for (int64_t i = 0; i < pieces; ++i) piece(i);
    } else {
        place.pool.run(pieces, piece);
    }
    return outcome.status();
}

Status activate(const Place& place, Activation kind, const float* x, float* y, int64_t count) {
    share(place, activation_cost(count), count, [&](Span part) {
        place.kernels.activate(kind, x + part.begin, y + part.begin, part.end - part.begin);
    });
    return Status::done;
}

Status silu_mul(const Place& place, const float* gate, const float* up, float* y, int64_t count) {
    share(place, activation_cost(count), count, [&](Span part) {
        place.kernels.silu_mul(gate + part.begin, up + part.begin, y + part.begin, part.end - part.begin);
    });
    return Status::done;
}

bool is_finite(const Place& place, const float* x, int64_t count) {
    return place.kernels.is_finite(x, count);
}

}  // namespace galago::ops
