// The layers of a decoder as Python gives them, checked once and kept: what decoder.h runs.
#pragma once

#include <deque>
#include <type_traits>
#include <vector>

#include "arrays.h"
#include "decoder.h"

namespace galago {

class Layers {
public:
    // Each layer is (attention norm, q, k, v, o, MLP norm, gate, up, down), a product (packed weight, bias).
    explicit Layers(const nb::list& layers) {
        check(layers.size() > 0, "a decoder has layers");
        for (const nb::handle one : layers) {
            const auto fields = nb::cast<nb::tuple>(one);
            check(fields.size() == 9, "a layer has nine parts");
            decoder::Layer& layer = layers_.emplace_back();
            layer.q = target(fields[1]);
            layer.k = target(fields[2]);
            layer.v = target(fields[3]);
            layer.o = target(fields[4]);
            layer.gate = target(fields[6]);
            layer.up = target(fields[7]);
            layer.down = target(fields[8]);
            const int64_t dim = layer.o.weight.rows;
            layer.attn_norm = norm(fields[0], dim);
            layer.mlp_norm = norm(fields[5], dim);
            fit(layer);
            for (const auto part : parts) same((layers_[0].*part).weight, (layer.*part).weight);
        }
    }
    Layers(const Layers&) = delete;
    Layers& operator=(const Layers&) = delete;

    const std::vector<decoder::Layer>& all() const { return layers_; }
    int64_t dim() const { return layers_[0].o.weight.rows; }

private:
    static constexpr ops::Target decoder::Layer::*parts[] = {
        &decoder::Layer::q,    &decoder::Layer::k,  &decoder::Layer::v,   &decoder::Layer::o,
        &decoder::Layer::gate, &decoder::Layer::up, &decoder::Layer::down
    };

    ops::Target target(nb::handle source) {
        const auto fields = nb::cast<nb::tuple>(source);
        const PackedMatrix& weight = packed_.emplace_back(nb::cast<nb::tuple>(fields[0])).matrix();
        return {weight, biases_.emplace_back(fields[1], weight.rows).data(), nullptr};
    }

    const float* norm(nb::handle source, int64_t dim) {
        return norms_.emplace_back(source, "norm", 1).packed_from(0).sized({dim}).data();
    }

    static void same(const PackedMatrix& a, const PackedMatrix& b) {
        check(a.rows == b.rows && a.cols == b.cols && a.group == b.group, "layers differ in their shapes");
    }

    static void fit(const decoder::Layer& layer) {
        const PackedMatrix &q = layer.q.weight, &k = layer.k.weight, &o = layer.o.weight;
        const int64_t dim = o.rows;
        const bool reads = q.cols == dim && k.cols == dim && layer.gate.weight.cols == dim;
        const bool fits = o.cols == q.rows && layer.down.weight.rows == dim &&
                          layer.down.weight.cols == layer.gate.weight.rows;
        check(reads && fits && q.group == k.group, "the products of a layer do not fit together");
        same(k, layer.v.weight);
        same(layer.gate.weight, layer.up.weight);
        check(
            layer.o.bias == nullptr && layer.down.bias == nullptr,
            "a product that is added to the residual cannot have a bias"
        );
    }

    std::deque<Packed> packed_;  // a deque never moves what it holds
    std::deque<Bias> biases_;
    std::deque<Floats> norms_;
    std::vector<decoder::Layer> layers_;
};

// One new token of each of some sequences, and the room for their keys and values (kernels/whole.py): arrays
// [2, layers, kv_heads, capacity, size].
class DecoderStep {
public:
    DecoderStep(
        const Layers& layers, nb::handle x, nb::handle cos, nb::handle sin, const nb::list& rooms, float eps,
        nb::handle out
    )
        : x_(x, "x", 2), cos_(cos, "cos", 2), sin_(sin, "sin", 2), out_(out, "out", 2, true),
          layers_(layers.all()), rows_(static_cast<int64_t>(rooms.size())) {
        check(rows_ > 0, "a step has at least one row");
        x_.packed_from(0).sized({rows_, layers.dim()});
        out_.packed_from(0).sized({rows_, layers.dim()});
        kept_.resize(layers_.size() * rooms.size());
        for (size_t row = 0; row < rooms.size(); ++row) {
            const auto room = nb::cast<nb::tuple>(rooms[row]);
            check(room.size() == 4, "a room has four parts");
            const auto own = nb::cast<int64_t>(room[1]), shared = nb::cast<int64_t>(room[3]);
            check(own > 0 && shared >= 0, "a row's own token has a place");
            lengths_.push_back({shared, own});
            place(room[0], row, "rows", own, &decoder::Kept::keys, &decoder::Kept::values);
            if (shared == 0) continue;
            place(
                room[2], row, "shared rows", shared, &decoder::Kept::shared_keys, &decoder::Kept::shared_values
            );
        }
        const int64_t kv_heads = arrays_[0].size(2), size = arrays_[0].size(4);
        const int64_t queries = layers_[0].q.weight.rows, width = layers_[0].k.weight.rows;
        check(
            width > 0 && width == kv_heads * size && queries % width == 0 && size % 2 == 0, "keys ",
            arrays_[0].shape(), " do not fit projections to ", queries, " and ", width
        );
        cos_.packed_from(0).sized({rows_, size / 2});
        sin_.packed_from(0).sized({rows_, size / 2});
        step_ = {x_.data(),    cos_.data(), sin_.data(),    out_.data(), lengths_.data(),
                 kept_.data(), rows_,       queries / size, kv_heads,    size,
                 eps};
    }

    double cost() const {
        return decoder::cost(layers_[0], rows_) * static_cast<double>(layers_.size());
    }

    ops::Status run(const ops::Place& place) const {
        return decoder::run(place, layers_.data(), static_cast<int64_t>(layers_.size()), step_);
    }

private:
    // The keys and values of all layers for one row.
    template <class T>
    void place(
        nb::handle source, size_t row, const char* name, int64_t tokens, Heads<T> decoder::Kept::*keys,
        Heads<T> decoder::Kept::*values
    ) {
        const Floats& array = arrays_.emplace_back(source, name, 5, !std::is_const_v<T>);
        const auto count = static_cast<int64_t>(layers_.size());
        array.packed_from(4).sized({2, count, arrays_[0].size(2), array.size(3), arrays_[0].size(4)});
        check(tokens <= array.size(3), tokens, " tokens do not fit ", name, " ", array.shape());
        for (int64_t i = 0; i < count; ++i) {
            decoder::Kept& kept = kept_[static_cast<size_t>(i * rows_) + row];
            const auto part = [&](int64_t number) -> Heads<T> {
                const int64_t offset = number * array.stride(0) + i * array.stride(1);
                return {array.data() + offset, array.stride(3), array.stride(2)};
            };
            kept.*keys = part(0);
            kept.*values = part(1);
        }
    }

    const Floats x_, cos_, sin_, out_;
    const std::vector<decoder::Layer>& layers_;
    const int64_t rows_;
    std::deque<Floats> arrays_;
    std::vector<decoder::Kept> kept_;
    std::vector<decoder::Length> lengths_;
    decoder::Step step_{};
};

}  // namespace galago
