#include "decoder.h"

#include <algorithm>
#include <atomic>
#include <initializer_list>
#include <new>

#include "pieces.h"

namespace galago::decoder {
namespace {

using ops::Target;

// What a layer does, one after the other.
enum Stage { round_input, project, attend, round_seen, join, round_joined, gate, round_gated, leave, stages };

int64_t aligned(int64_t bytes) {
    constexpr auto to = static_cast<int64_t>(alignment);
    return ops::ceil_div(bytes, to) * to;
}

// Memory for everything between two layers, cut from one block.
class Cutter {
public:
    explicit Cutter(uint8_t* from) : next_(from) {}
    template <class T>
    T* take(int64_t count) {
        auto* part = reinterpret_cast<T*>(next_);
        next_ += aligned(count * static_cast<int64_t>(sizeof(T)));
        return part;
    }

private:
    uint8_t* next_;
};

// The widest of the products.
struct Widths {
    int64_t cols = 0, groups = 0;

    explicit Widths(const Layer& layer) {
        for (const Target* one : {&layer.q, &layer.o, &layer.gate, &layer.down}) {
            cols = std::max(cols, one->weight.padded_cols());
            groups = std::max(groups, one->weight.groups());
        }
    }
};

class Run {
public:
    Run(const Kernels& kernels, const Layer* layers, const Token& token, int64_t threads, Cutter memory)
        : kernels_(kernels),
          layers_(layers),
          token_(token),
          projections_(panels({&layers->q, &layers->k, &layers->v}), threads),
          joins_(panels({&layers->o}), threads),
          gates_(panels({&layers->gate}), threads),
          leaves_(panels({&layers->down}), threads) {
        const Widths widths(*layers);
        normed_ = memory.take<float>(dim());
        q_ = memory.take<float>(token.heads * token.size);
        turned_ = memory.take<float>(token.heads * token.size);
        k_ = memory.take<float>(token.kv_heads * token.size);
        seen_ = memory.take<float>(token.heads * token.size);
        gated_ = memory.take<float>(layers->gate.weight.rows);
        rounded_ = {
            memory.take<int8_t>(widths.cols), memory.take<float>(widths.groups),
            memory.take<int32_t>(widths.groups), 1, {1, 4}
        };
        row_ = memory.take<int8_t>(widths.cols);
    }

    static int64_t bytes(const Layer& layer, const Token& token) {
        const Widths widths(layer);
        const int64_t heads = token.heads * token.size, floats = static_cast<int64_t>(sizeof(float));
        return aligned(layer.o.weight.rows * floats) + 3 * aligned(heads * floats) +
               aligned(token.kv_heads * token.size * floats) + aligned(layer.gate.weight.rows * floats) +
               2 * aligned(widths.cols) + 2 * aligned(widths.groups * floats);
    }

    int64_t pieces(int stage) const {
        switch (stage) {
            case project:
                return projections_.count();
            case attend:
                return token_.kv_heads;
            case join:
                return joins_.count();
            case gate:
                return gates_.count();
            case leave:
                return leaves_.count();
            default:
                return 1;
        }
    }

    void piece(int64_t phase, int64_t i) {
        const Layer& layer = layers_[phase / stages];
        switch (phase % stages) {
            case round_input:
                return norm_and_round(phase == 0 ? token_.x : token_.y, layer.attn_norm, layer.q);
            case project: {
                const Target targets[] = {
                    to(layer.q, q_), to(layer.k, k_), to(layer.v, layer.values[token_.tokens - 1])
                };
                return note(ops::multiply(kernels_, targets, 3, rounded_, 0, projections_[i]));
            }
            case attend:
                return see(layer, i);
            case round_seen:
                return round(seen_, layer.o);
            case join:
                return add(layer.o, phase < stages ? token_.x : token_.y, joins_[i]);
            case round_joined:
                return norm_and_round(token_.y, layer.mlp_norm, layer.gate);
            case gate: {
                const Target wide = to(layer.gate, gated_);
                return note(ops::multiply_gated(kernels_, wide, layer.up, rounded_, 0, gates_[i]));
            }
            case round_gated:
                return round(gated_, layer.down);
            default:
                return add(layer.down, token_.y, leaves_[i]);
        }
    }

    bool failed() const { return failed_.load(); }

private:
    static int64_t panels(std::initializer_list<const Target*> targets) {
        int64_t count = 0;
        for (const Target* one : targets) count += one->weight.panels();
        return count;
    }

    static Target to(const Target& target, float* y) { return {target.weight, target.bias, y}; }

    int64_t dim() const { return layers_->o.weight.rows; }

    void note(bool good) {
        if (!good) failed_.store(true, std::memory_order_relaxed);
    }

    void norm_and_round(const float* x, const float* weight, const Target& reader) {
        kernels_.rms_norm({{x, dim()}, weight, nullptr, normed_, dim(), token_.eps}, {0, 1});
        round(normed_, reader);
    }

    void round(const float* x, const Target& reader) {
        const PackedMatrix& w = reader.weight;
        kernels_.quantise({{x, w.cols}, w.cols, w.group, rounded_}, {0, 1}, row_);
    }

    // y = residual + product: a product of one token adds it as its bias. y may be the residual itself.
    void add(const Target& target, const float* residual, Span part) {
        const Target sum{target.weight, residual, token_.y};
        note(ops::multiply(kernels_, &sum, 1, rounded_, 0, part));
    }

    // Turns the new key of a head and keeps it; the query heads that share it look at all keys.
    void see(const Layer& layer, int64_t kv_head) {
        const Token& t = token_;
        const int64_t share = t.heads / t.kv_heads, first = kv_head * share * t.size, at = kv_head * t.size;
        const auto turn = [&](const float* x, float* y, int64_t heads) {
            kernels_.rotate({{x, 0, t.size}, t.cos, t.sin, {y, 0, t.size}, heads, t.size}, {0, 1});
        };
        turn(q_ + first, turned_ + first, share);
        turn(k_ + at, layer.keys[t.tokens - 1] + at, 1);
        const Attention attention{
            {turned_, 0, t.size},
            {layer.keys.data, layer.keys.stride, t.size},
            {layer.values.data, layer.values.stride, t.size},
            {seen_, 0, t.size},
            t.heads,
            t.kv_heads,
            t.size
        };
        const int64_t floats = kernels_.attention_scratch(attention, share);
        void* memory = scratch(Scratch::own, static_cast<size_t>(floats) * sizeof(float));
        if (memory == nullptr) return note(false);
        const AttentionPart part{{0, 1}, {0, t.tokens}, kv_head, true, t.tokens};
        kernels_.attention(attention, part, static_cast<float*>(memory));
    }

    const Kernels& kernels_;
    const Layer* layers_;
    const Token& token_;
    const ops::Shrinking projections_, joins_, gates_, leaves_;
    float *normed_, *q_, *turned_, *k_, *seen_, *gated_;
    Activations rounded_{};
    int8_t* row_;
    std::atomic<bool> failed_{false};
};

}  // namespace

double cost(const Layer& layer) {
    double sum = 0;
    for (const Target* one : {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down})
        sum += ops::packed_cost(1, one->weight.rows, one->weight.padded_cols());
    return sum;
}

ops::Status run(const ops::Place& place, const Layer* layers, int64_t count, const Token& token) {
    // Half of a layer's cost is its largest piece of work.
    const bool shared = place.pool.threads() > 1 && cost(*layers) > 2 * ops::worth_sharing;
    const int64_t phases = shared ? count * stages : 0;
    const int64_t bytes = Run::bytes(*layers, token), phase_bytes = phases * sizeof(Pool::Phase);
    auto* memory = static_cast<uint8_t*>(scratch(Scratch::shared, static_cast<size_t>(phase_bytes + bytes)));
    if (memory == nullptr) return ops::Status::out_of_memory;
    Run all(place.kernels, layers, token, shared ? place.pool.threads() : 1, Cutter(memory + phase_bytes));
    if (shared) {
        auto* queue = reinterpret_cast<Pool::Phase*>(memory);
        for (int64_t p = 0; p < phases; ++p) new (queue + p) Pool::Phase(all.pieces(p % stages));
        place.pool.run(queue, phases, [&](int64_t phase, int64_t i) { all.piece(phase, i); });
    } else {
        for (int64_t p = 0; p < count * stages; ++p)
            for (int64_t i = 0; i < all.pieces(p % stages); ++i) all.piece(p, i);
    }
    return all.failed() ? ops::Status::out_of_memory : ops::Status::done;
}

}  // namespace galago::decoder
