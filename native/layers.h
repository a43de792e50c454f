// The layers of a decoder as Python gives them, checked once and kept: what decoder.h runs.
#pragma once

#include <deque>
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

// One new token and the room for its keys and values: [capacity, kv_heads, size] for each layer, of which the
// last of `tokens` rows is written.
class DecoderRow {
public:
    DecoderRow(
        const Layers& layers, nb::handle x, nb::handle cos, nb::handle sin, const nb::list& keys,
        const nb::list& values, int64_t tokens, float eps, nb::handle out
    )
        : x_(x, "x", 2), cos_(cos, "cos", 2), sin_(sin, "sin", 2), out_(out, "out", 2, true),
          layers_(layers.all()) {
        x_.packed_from(0).sized({1, layers.dim()});
        out_.packed_from(0).sized({1, layers.dim()});
        check(
            keys.size() == layers_.size() && values.size() == layers_.size(),
            "each layer wants keys and values"
        );
        for (size_t i = 0; i < layers_.size(); ++i) {
            layers_[i].keys = rows(keys[i], "keys", tokens);
            layers_[i].values = rows(values[i], "values", tokens);
        }
        const int64_t kv_heads = kept_[0].size(1), size = kept_[0].size(2);
        const int64_t queries = layers_[0].q.weight.rows, shared = layers_[0].k.weight.rows;
        check(
            shared > 0 && shared == kv_heads * size && queries % shared == 0 && size % 2 == 0, "keys ",
            kept_[0].shape(), " do not fit projections to ", queries, " and ", shared
        );
        cos_.packed_from(0).sized({1, size / 2});
        sin_.packed_from(0).sized({1, size / 2});
        token_ = {x_.data(), cos_.data(), sin_.data(), out_.data(), queries / size,
                  kv_heads,  size,        tokens,      eps};
    }

    double cost() const { return decoder::cost(layers_[0]) * static_cast<double>(layers_.size()); }

    ops::Status run(const ops::Place& place) const {
        return decoder::run(place, layers_.data(), static_cast<int64_t>(layers_.size()), token_);
    }

private:
    Rows<float> rows(nb::handle source, const char* name, int64_t tokens) {
        const Floats& array = kept_.emplace_back(source, name, 3, true);
        array.packed_from(0).sized({array.size(0), kept_[0].size(1), kept_[0].size(2)});
        check(
            tokens > 0 && tokens <= array.size(0), tokens, " tokens do not fit ", name, " ", array.shape()
        );
        return {array.data(), array.size(1) * array.size(2)};
    }

    const Floats x_, cos_, sin_, out_;
    std::vector<decoder::Layer> layers_;
    std::deque<Floats> kept_;
    decoder::Token token_{};
};

}  // namespace galago
