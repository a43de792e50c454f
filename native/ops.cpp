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

// The same for the panels of a packed product, in spans that shrink.
template <class F>
void share_panels(const Place& place, double cost, int64_t panels, const F& piece) {
    const int64_t threads = place.pool.threads();
    if (cost < worth_sharing || threads == 1) return share(place, 0, panels, piece);
    const Shrinking spans(panels, threads);
    place.pool.run(spans.count(), [&](int64_t i) { piece(spans[i]); });
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

// Tokens that are rounded and multiplied together: their int8 values and their sums should stay in the caches.
int64_t packed_chunk(int64_t tokens, int64_t cols, const Kernels& k) {
    const int64_t tile = k.packed_tile, most = std::max(k.packed_most / tile, int64_t{1});
    const int64_t tiles = std::max(k.packed_cache / std::max<int64_t>(cols, 1) / tile, int64_t{4});
    const int64_t fit = std::min(tiles, most) * tile;
    if (tokens <= fit) return tokens;
    return ceil_div(ceil_div(tokens, ceil_div(tokens, fit)), tile) * tile;
}

// Rounds x in chunks of tokens, and calls multiply(rounded, start) for each.
template <class F>
Status in_chunks(
    const Place& place, Rows<const float> x, int64_t tokens, const PackedMatrix& w, Outcome& outcome,
    const F& multiply
) {
    const Kernels& k = place.kernels;
    const int64_t cols = w.padded_cols(), groups = w.groups();
    const int64_t chunk = packed_chunk(tokens, cols, k);
    const int64_t padded = ceil_div(chunk, k.packed_tile) * k.packed_tile;
    const int64_t code_bytes = ceil_div(padded * cols, alignment) * static_cast<int64_t>(alignment);
    const int64_t float_bytes = chunk * groups * static_cast<int64_t>(sizeof(float));
    auto* memory =
        static_cast<int8_t*>(scratch(Scratch::shared, static_cast<size_t>(code_bytes + 2 * float_bytes)));
    if (memory == nullptr) return Status::out_of_memory;

    for (int64_t start = 0; start < tokens; start += chunk) {
        const int64_t count = std::min(chunk, tokens - start);
        const Layout layout = k.packed_layout(count, w.group);
        const int64_t tile = layout.tile;
        const Activations rounded{
            memory, reinterpret_cast<float*>(memory + code_bytes),
            reinterpret_cast<int32_t*>(memory + code_bytes + float_bytes), count, layout
        };
        const Quantise quantise{{x[start], x.stride}, w.cols, w.group, rounded};
        share(place, pass_cost(count * cols), ceil_div(count, tile), [&](Span tiles) {
            auto* row = static_cast<int8_t*>(scratch(Scratch::own, static_cast<size_t>(cols)));
            if (row == nullptr) return outcome.fail();
            k.quantise(quantise, {tiles.begin * tile, std::min(tiles.end * tile, count)}, row);
        });
        multiply(rounded, start);
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
    Outcome outcome;
    const auto all = [&](const Activations& rounded, int64_t start) {
        const double cost = packed_cost(rounded.tokens, rows, targets[0].weight.padded_cols());
        share_panels(place, cost, panels, [&](Span part) {
            if (!multiply(place.kernels, targets, count, rounded, start, part)) outcome.fail();
        });
    };
    return in_chunks(place, x, tokens, targets[0].weight, outcome, all);
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
    Outcome outcome;
    const auto both = [&](const Activations& rounded, int64_t start) {
        const double cost = 2 * packed_cost(rounded.tokens, w.rows, w.padded_cols());
        share_panels(place, cost, w.panels(), [&](Span part) {
            if (!multiply_gated(place.kernels, gate, up, rounded, start, part)) outcome.fail();
        });
    };
    return in_chunks(place, x, tokens, w, outcome, both);
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
