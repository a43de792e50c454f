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
    Run(const Kernels& kernels, const Layer* layers, const Step& step, int64_t threads, Cutter memory)
        : kernels_(kernels),
          layers_(layers),
          step_(step),
          threads_(threads),
          projections_(panels({&layers->q, &layers->k, &layers->v}), threads),
          joins_(panels({&layers->o}), threads),
          gates_(panels({&layers->gate}), threads),
          leaves_(panels({&layers->down}), threads) {
        const Widths widths(*layers);
        const int64_t rows = step.rows;
        normed_ = memory.take<float>(rows * dim());
        q_ = memory.take<float>(rows * queries());
        turned_ = memory.take<float>(rows * queries());
        seen_ = memory.take<float>(rows * queries());
        k_ = memory.take<float>(rows * step.kv_heads * step.size);
        v_ = memory.take<float>(rows * step.kv_heads * step.size);
        gated_ = memory.take<float>(rows * layers->gate.weight.rows);
        codes_ = memory.take<int8_t>(padded(kernels, step) * widths.cols);
        scales_ = memory.take<float>(rows * widths.groups);
        balances_ = memory.take<int32_t>(rows * widths.groups);
    }

    static int64_t bytes(const Kernels& kernels, const Layer& layer, const Step& step) {
        const Widths widths(layer);
        const int64_t floats = step.rows * static_cast<int64_t>(sizeof(float));
        return aligned(layer.o.weight.rows * floats) + 3 * aligned(step.heads * step.size * floats) +
               2 * aligned(step.kv_heads * step.size * floats) + aligned(layer.gate.weight.rows * floats) +
               aligned(padded(kernels, step) * widths.cols) + 2 * aligned(widths.groups * floats);
    }

    int64_t pieces(int stage) const {
        switch (stage) {
            case round_input:
                return tiles(layers_->q);
            case project:
                return projections_.count();
            case attend:
                return step_.kv_heads * ops::ceil_div(step_.rows, together());
            case round_seen:
                return roundings(layers_->o);
            case join:
                return joins_.count();
            case round_joined:
                return tiles(layers_->gate);
            case gate:
                return gates_.count();
            case round_gated:
                return roundings(layers_->down);
            default:
                return leaves_.count();
        }
    }

    void piece(int64_t phase, int64_t i) {
        const int64_t number = phase / stages;
        const Layer& layer = layers_[number];
        switch (phase % stages) {
            case round_input:
                return norm_and_round(number == 0 ? step_.x : step_.y, layer.attn_norm, layer.q, i);
            case project: {
                const Target targets[] = {to(layer.q, q_), to(layer.k, k_), to(layer.v, v_)};
                return note(ops::multiply(kernels_, targets, 3, rounded(layer.q), 0, projections_[i]));
            }
            case attend: {  // threads side by side have a key head each, which sequences may share
                const int64_t first = i / step_.kv_heads * together();
                const Kept* last = nullptr;
                for (int64_t t = first; t < std::min(first + together(), step_.rows); ++t) {
                    const Kept* kept = step_.kept + number * step_.rows + t;
                    see(*kept, last, t, i % step_.kv_heads);
                    last = kept;
                }
                return;
            }
            case round_seen:
                return round(seen_, layer.o, i);
            case join:
                return add(layer.o, number == 0 ? step_.x : step_.y, joins_[i]);
            case round_joined:
                return norm_and_round(step_.y, layer.mlp_norm, layer.gate, i);
            case gate: {
                const Target wide = to(layer.gate, gated_);
                return note(ops::multiply_gated(kernels_, wide, layer.up, rounded(layer.gate), 0, gates_[i]));
            }
            case round_gated:
                return round(gated_, layer.down, i);
            default:
                return add(layer.down, step_.y, leaves_[i]);
        }
    }

    bool failed() const { return failed_.load(); }

private:
    static int64_t panels(std::initializer_list<const Target*> targets) {
        int64_t count = 0;
        for (const Target* one : targets) count += one->weight.panels();
        return count;
    }

    static int64_t padded(const Kernels& kernels, const Step& step) {
        return ops::ceil_div(step.rows, kernels.packed_tile) * kernels.packed_tile;
    }

    static Target to(const Target& target, float* y) { return {target.weight, target.bias, y}; }

    // Sequences of which a thread attends to a key head before it looks for more.
    int64_t together() const { return ops::ceil_div(step_.rows * step_.kv_heads, 2 * threads_); }

    int64_t dim() const { return layers_->o.weight.rows; }
    int64_t queries() const { return step_.heads * step_.size; }

    // Where what `reader` reads is rounded to.
    Activations rounded(const Target& reader) const {
        const Layout layout = kernels_.packed_layout(step_.rows, reader.weight.group);
        return {codes_, scales_, balances_, step_.rows, layout};
    }

    int64_t tiles(const Target& reader) const {
        return ops::ceil_div(step_.rows, rounded(reader).layout.tile);
    }
    Span tile(const Target& reader, int64_t i) const {
        const int64_t each = rounded(reader).layout.tile;
        return {i * each, std::min((i + 1) * each, step_.rows)};
    }

    // Into how many pieces rounding is cut: tiles, or spans of groups where there is one tile.
    int64_t roundings(const Target& reader) const {
        const int64_t count = tiles(reader);
        const bool whole = count > 1 || rounded(reader).layout.piece > 4;
        return whole ? count : std::min(threads_, reader.weight.groups());
    }

    void note(bool good) {
        if (!good) failed_.store(true, std::memory_order_relaxed);
    }

    void round(const float* x, const Target& reader, int64_t i) {
        const PackedMatrix& w = reader.weight;
        Quantise all{{x, w.cols}, w.cols, w.group, rounded(reader)};
        if (tiles(reader) > 1 || roundings(reader) == 1) return quantise(all, tile(reader, i));
        const int64_t parts = roundings(reader);
        const int64_t first = w.groups() * i / parts, end = w.groups() * (i + 1) / parts;
        all.x.data += first * w.group;
        all.cols = std::min(end * w.group, w.cols) - first * w.group;
        all.out.codes += first * w.group * step_.rows;
        all.out.scales += first * step_.rows;
        all.out.balances += first * step_.rows;
        quantise(all, {0, step_.rows});
    }

    void quantise(const Quantise& p, Span tokens) {
        void* row = scratch(Scratch::own, static_cast<size_t>(p.cols + p.group));
        if (row == nullptr) return note(false);
        kernels_.quantise(p, tokens, static_cast<int8_t*>(row));
    }

    void norm_and_round(const float* x, const float* weight, const Target& reader, int64_t i) {
        const Span tokens = tile(reader, i);
        kernels_.rms_norm({{x, dim()}, weight, nullptr, normed_, dim(), step_.eps}, tokens);
        quantise({{normed_, dim()}, dim(), reader.weight.group, rounded(reader)}, tokens);
    }

    void add(const Target& target, const float* residual, Span part) {
        const Target sum{target.weight, nullptr, step_.y, residual};
        note(ops::multiply(kernels_, &sum, 1, rounded(target), 0, part));
    }

    // Turns the new key of a head of sequence t and keeps it; the query heads that share it look at all keys.
    // This thread has just seen those of `last`, unless it is null.
    void see(const Kept& kept, const Kept* last, int64_t t, int64_t kv_head) {
        const Step& s = step_;
        const int64_t share = s.heads / s.kv_heads, half = t * s.size / 2;
        const int64_t new_one = (t * s.kv_heads + kv_head) * s.size, first = share * new_one;
        const auto turn = [&](const float* x, float* y, int64_t heads) {
            const float *cos = s.cos + half, *sin = s.sin + half;
            kernels_.rotate({{x, 0, s.size}, cos, sin, {y, 0, s.size}, heads, s.size}, {0, 1});
        };
        const auto [shared, own] = s.lengths[t];
        turn(q_ + first, turned_ + first, share);
        turn(k_ + new_one, kept.keys.at(own - 1, kv_head), 1);
        std::copy_n(v_ + new_one, s.size, kept.values.at(own - 1, kv_head));
        const auto past = [&](const Heads<const float>& before, const Heads<float>& rows) {
            const float* first_shared = shared > 0 ? before.at(0, kv_head) : nullptr;  // else there may be none
            return Past{
                {first_shared, before.token_stride}, {rows.at(0, kv_head), rows.token_stride}, shared
            };
        };
        const bool again =
            last != nullptr && shared > 0 && last->shared_keys.data == kept.shared_keys.data;
        const RowAttention attention{
            {turned_ + first, s.size},
            past(kept.shared_keys, kept.keys),
            past(kept.shared_values, kept.values),
            shared + own,
            {seen_ + first, s.size},
            share,
            s.size,
            again ? shared : 0
        };
        const int64_t floats = kernels_.attention_scratch({{}, {}, {}, {}, s.heads, s.kv_heads, s.size}, share);
        void* memory = scratch(Scratch::own, static_cast<size_t>(floats) * sizeof(float));
        if (memory == nullptr) return note(false);
        kernels_.attend_row(attention, static_cast<float*>(memory));
    }

    const Kernels& kernels_;
    const Layer* layers_;
    const Step& step_;
    const int64_t threads_;
    const ops::Shrinking projections_, joins_, gates_, leaves_;
    float *normed_, *q_, *turned_, *seen_, *k_, *v_, *gated_, *scales_;
    int8_t* codes_;
    int32_t* balances_;
    std::atomic<bool> failed_{false};
};

}  // namespace

double cost(const Layer& layer, int64_t rows) {
    double sum = 0;
    for (const Target* one : {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down})
        sum += ops::packed_cost(rows, one->weight.rows, one->weight.padded_cols());
    return sum;
}

ops::Status run(const ops::Place& place, const Layer* layers, int64_t count, const Step& step) {
    // Half of a layer's cost is its largest piece of work.
    const bool shared = place.pool.threads() > 1 && cost(*layers, step.rows) > 2 * ops::worth_sharing;
    const int64_t phases = shared ? count * stages : 0;
    const int64_t bytes = Run::bytes(place.kernels, *layers, step), phase_bytes = phases * sizeof(Pool::Phase);
    auto* memory = static_cast<uint8_t*>(scratch(Scratch::shared, static_cast<size_t>(phase_bytes + bytes)));
    if (memory == nullptr) return ops::Status::out_of_memory;
    const int64_t threads = shared ? place.pool.threads() : 1;
    Run all(place.kernels, layers, step, threads, Cutter(memory + phase_bytes));
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
