// The Python face of the kernels. Checks that arrays fit together and lets go of the interpreter's lock while
// work of some length runs. With arrays.h and layers.h the only file that knows Python.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "arrays.h"
#include "ceilings.h"
#include "kernels.h"
#include "layers.h"
#include "ops.h"
#include "pool.h"

namespace galago {
namespace {

// Other Python threads may run meanwhile. Not for short work: taking the lock back may cost more than all of
// it.
class Unlocked {
public:
    explicit Unlocked(double cost) {
        if (cost > ops::worth_sharing) release_.emplace();
    }

private:
    std::optional<nb::gil_scoped_release> release_;
};

void finish(ops::Status status) {
    if (status == ops::Status::out_of_memory) throw std::bad_alloc();
}

ops::Place place(Pool& pool, int isa) {
    const KernelList list = available_kernels();
    check(isa >= 0 && isa < list.count, "there is no instruction set number ", isa);
    return {pool, *list.tables[isa]};
}

template <class W>
void linear_dense(Pool& pool, int isa, nb::handle x_, nb::handle weight_, nb::handle bias_, nb::handle out_) {
    const Floats x(x_, "x", 2), out(out_, "out", 2, true);
    const Array<W> weight(weight_, "weight", 2);
    const int64_t tokens = x.size(0), cols = x.size(1), rows = weight.size(0);
    weight.packed_from(0).sized({rows, cols});
    out.packed_from(0).sized({tokens, rows});
    const Bias bias(bias_, rows);
    const DenseProduct<W> product{rows_of(x), weight.data(), bias.data(), out.data(), tokens, rows, cols};
    const ops::Place where = place(pool, isa);
    ops::Status status{};
    {
        const Unlocked unlocked(ops::dense_cost(tokens, rows, cols));
        status = ops::linear(where, product);
    }
    finish(status);
}

// The weights, biases and results of several products with one x.
class Targets {
public:
    Targets(
        const Floats& x, const nb::list& weights, const nb::list& biases, const nb::list& outs,
        nb::handle residual
    ) {
        const size_t count = weights.size();
        check(count > 0 && count == biases.size(), "each weight wants a bias or None");
        for (size_t i = 0; i < count; ++i) {
            const PackedMatrix& w = packed_.emplace_back(nb::cast<nb::tuple>(weights[i])).matrix();
            x.sized({x.size(0), w.cols});
            check(w.group == packed_.front().matrix().group, "groups of weights that share x differ");
            const Bias& bias = biases_.emplace_back(biases[i], w.rows);
            float* y = nullptr;
            if (i < outs.size()) {
                const Floats& out = outs_.emplace_back(outs[i], "out", 2, true);
                y = out.packed_from(0).sized({x.size(0), w.rows}).data();
            }
            targets_.push_back({w, bias.data(), y});
            rows_ += w.rows;
        }
        if (residual.is_none()) return;
        check(count == 1, "a residual is added to one product");
        const Floats& added = outs_.emplace_back(residual, "residual", 2);
        targets_[0].residual = added.packed_from(0).sized({x.size(0), rows_}).data();
    }
    const std::vector<ops::Target>& all() const { return targets_; }
    double cost(int64_t tokens) const { return ops::packed_cost(tokens, rows_, targets_[0].weight.cols); }

private:
    std::deque<Packed> packed_;  // a deque never moves what it holds
    std::deque<Bias> biases_;
    std::deque<Floats> outs_;  // and the residual
    std::vector<ops::Target> targets_;
    int64_t rows_ = 0;
};

void linear_packed(
    Pool& pool, int isa, nb::handle x_, const nb::list& weights, const nb::list& biases, const nb::list& outs,
    nb::handle residual
) {
    const Floats x(x_, "x", 2);
    check(outs.size() == weights.size(), "each weight wants a result");
    const Targets targets(x, weights, biases, outs, residual);
    const Rows<const float> from = rows_of(x);
    const ops::Place where = place(pool, isa);
    const auto count = static_cast<int64_t>(targets.all().size());
    ops::Status status{};
    {
        const Unlocked unlocked(targets.cost(x.size(0)));
        status = ops::linear(where, from, x.size(0), targets.all().data(), count);
    }
    finish(status);
}

bool linear_best(
    Pool& pool, int isa, nb::handle x_, nb::handle weight_, nb::handle rough_, int64_t best,
    int64_t candidates, double margin, nb::handle out_
) {
    const Floats x(x_, "x", 2), out(out_, "out", 2, true);
    const Packed whole(nb::cast<nb::tuple>(weight_)), coarse(nb::cast<nb::tuple>(rough_));
    const PackedMatrix &weight = whole.matrix(), &rough = coarse.matrix();
    x.sized({1, weight.cols});
    out.packed_from(0).sized({1, weight.rows});
    check(rough.rows == weight.rows && rough.cols == weight.cols, "a coarse copy has the weight's shape");
    check(0 < best && best <= candidates, best, " of ", candidates, " candidates cannot be the best");
    const ops::Screening screening{weight, rough, candidates, best, margin, out.data()};
    const Rows<const float> from = rows_of(x);
    const ops::Place where = place(pool, isa);
    ops::Status status{};
    bool sure = false;
    {
        const Unlocked unlocked(ops::packed_cost(1, rough.rows, rough.cols));
        status = ops::linear_best(where, from, screening, &sure);
    }
    finish(status);
    return sure;
}

void gated_packed(
    Pool& pool, int isa, nb::handle x_, const nb::list& weights, const nb::list& biases, const nb::list& outs
) {
    const Floats x(x_, "x", 2);
    check(weights.size() == 2 && outs.size() == 1, "two weights make one result");
    const Targets targets(x, weights, biases, outs, nb::none());
    const ops::Target &gate = targets.all()[0], &up = targets.all()[1];
    check(gate.weight.rows == up.weight.rows, "gate and up differ in their rows");
    const Rows<const float> from = rows_of(x);
    const ops::Place where = place(pool, isa);
    ops::Status status{};
    {
        const Unlocked unlocked(targets.cost(x.size(0)));
        status = ops::gated(where, from, x.size(0), gate, up);
    }
    finish(status);
}

// Fills the parts of a packed weight from dense rows of finite values; false when one is beyond float16.
bool pack(
    Pool& pool, int isa, nb::handle x_, int bits, int64_t group, nb::handle codes_, nb::handle scales_,
    nb::handle steps_
) {
    const Floats x(x_, "x", 2);
    const Array<uint8_t> codes(codes_, "codes", 4, true);
    const Array<uint16_t> scales(scales_, "scales", 3, true);
    std::optional<Array<uint8_t>> steps;
    if (!steps_.is_none()) steps.emplace(steps_, "steps", 3, true);
    check((bits == 4 && steps) || (bits == 8 && !steps), "weights of 4 bits have steps, those of 8 none");
    check(group > 0 && group % step_cols == 0, "a group must be a multiple of 32");
    const PackedMatrix shape{nullptr, nullptr, nullptr, nullptr, x.size(0), x.size(1), group, bits};
    codes.packed_from(0).sized({shape.panels(), shape.padded_cols() * bits / 32, panel_rows, 4});
    scales.packed_from(0).sized({shape.panels(), shape.groups(), panel_rows});
    if (steps) steps->packed_from(0).sized({shape.panels(), shape.padded_cols() / step_cols, panel_rows});
    const Pack packing{rows_of(x),   x.size(0),     x.size(1), group, bits, codes.data(),
                       scales.data(), steps ? steps->data() : nullptr};
    const ops::Place where = place(pool, isa);
    const Unlocked unlocked(ops::pack_cost(x.count()));
    return ops::pack(where, packing);
}

// copy(id, y) for each id, which must be a row of the table.
template <class F>
void embed(const Array<int64_t>& ids, const Floats& out, int64_t rows, int64_t cols, const F& copy) {
    out.packed_from(0).sized({ids.size(0), cols});
    ids.packed_from(0);
    for (int64_t t = 0; t < ids.size(0); ++t) {
        const int64_t id = ids.data()[t];
        check(id >= 0 && id < rows, "id ", id, " does not fit an embedding of ", rows, " rows");
        copy(id, out.data() + t * cols);
    }
}

void embed_f32(nb::handle weight_, nb::handle ids_, nb::handle out_) {
    const Floats weight(weight_, "weight", 2), out(out_, "out", 2, true);
    const Array<int64_t> ids(ids_, "ids", 1);
    const Rows<const float> rows = rows_of(weight);
    const int64_t cols = weight.size(1);
    embed(ids, out, weight.size(0), cols, [&](int64_t id, float* y) { std::copy_n(rows[id], cols, y); });
}

void embed_bf16(nb::handle weight_, nb::handle ids_, nb::handle out_) {
    const Array<uint16_t> weight(weight_, "weight", 2);
    const Floats out(out_, "out", 2, true);
    const Array<int64_t> ids(ids_, "ids", 1);
    const Rows<const uint16_t> rows{weight.packed_from(1).data(), weight.stride(0)};
    const Kernels& k = *available_kernels().tables[0];
    const int64_t cols = weight.size(1);
    embed(ids, out, weight.size(0), cols, [&](int64_t id, float* y) { k.embed_bf16(rows[id], y, cols); });
}

void embed_packed(const nb::tuple& weight_, nb::handle ids_, nb::handle out_) {
    const Packed packed(weight_);
    const PackedMatrix& weight = packed.matrix();
    const Floats out(out_, "out", 2, true);
    const Array<int64_t> ids(ids_, "ids", 1);
    const Kernels& k = *available_kernels().tables[0];
    embed(ids, out, weight.rows, weight.cols, [&](int64_t id, float* y) { k.embed_packed(weight, id, y); });
}

void rms_norm(Pool& pool, int isa, nb::handle x_, nb::handle weight_, float eps, nb::handle out_) {
    const Floats x(x_, "x", 2), weight(weight_, "weight", 1), out(out_, "out", 2, true);
    const int64_t tokens = x.size(0), cols = x.size(1);
    weight.packed_from(0).sized({cols});
    out.packed_from(0).sized({tokens, cols});
    const Norm norm{rows_of(x), weight.data(), nullptr, out.data(), cols, eps};
    const ops::Place where = place(pool, isa);
    const Unlocked unlocked(ops::pass_cost(tokens * cols));
    ops::rms_norm(where, norm, tokens);
}

void layer_norm(
    Pool& pool, int isa, nb::handle x_, nb::handle weight_, nb::handle bias_, float eps, nb::handle out_
) {
    const Floats x(x_, "x", 2), weight(weight_, "weight", 1), bias(bias_, "bias", 1),
        out(out_, "out", 2, true);
    const int64_t tokens = x.size(0), cols = x.size(1);
    weight.packed_from(0).sized({cols});
    bias.packed_from(0).sized({cols});
    out.packed_from(0).sized({tokens, cols});
    const Norm norm{rows_of(x), weight.data(), bias.data(), out.data(), cols, eps};
    const ops::Place where = place(pool, isa);
    const Unlocked unlocked(ops::pass_cost(tokens * cols));
    ops::layer_norm(where, norm, tokens);
}

void rotate(Pool& pool, int isa, nb::handle x_, nb::handle cos_, nb::handle sin_, nb::handle out_) {
    const Floats x(x_, "x", 3), cos(cos_, "cos", 2), sin(sin_, "sin", 2), out(out_, "out", 3, true);
    const int64_t tokens = x.size(0), heads = x.size(1), size = x.size(2);
    check(size % 2 == 0, "heads of ", size, " values cannot be turned in pairs");
    cos.packed_from(0).sized({tokens, size / 2});
    sin.packed_from(0).sized({tokens, size / 2});
    out.packed_from(0).sized({tokens, heads, size});
    const Heads<float> y{out.data(), heads * size, size};
    const Rotate rotation{heads_of(x), cos.data(), sin.data(), y, heads, size};
    const ops::Place where = place(pool, isa);
    const Unlocked unlocked(ops::pass_cost(x.count()));
    ops::rotate(where, rotation, tokens);
}

// The borders of segments, or one segment when there are none.
class Bounds {
public:
    Bounds(nb::handle source, int64_t tokens) {
        if (source.is_none()) return;
        array_.emplace(source, "bounds", 1).packed_from(0);
        const int64_t count = array_->size(0) - 1;
        const int32_t* bounds = array_->data();
        bool good = count >= 0 && bounds[0] == 0 && bounds[count] == tokens;
        for (int64_t i = 0; good && i < count; ++i) good = bounds[i] <= bounds[i + 1];
        check(good, "bounds must rise from 0 to ", tokens);
    }
    ops::Segments segments() const {
        return array_ ? ops::Segments{array_->data(), array_->size(0) - 1} : ops::Segments{nullptr, 1};
    }

private:
    std::optional<Array<int32_t>> array_;
};

void attention(
    Pool& pool, int isa, nb::handle q_, nb::handle k_, nb::handle v_, bool causal, nb::handle bounds_,
    bool rounded, nb::handle out_
) {
    const Floats q(q_, "q", 3), k(k_, "k", 3), v(v_, "v", 3), out(out_, "out", 3, true);
    const int64_t tokens = q.size(0), heads = q.size(1), size = q.size(2), keys = k.size(0),
                  kv_heads = k.size(1);
    k.sized({keys, kv_heads, size});
    v.sized({keys, kv_heads, size});
    out.packed_from(0).sized({tokens, heads, size});
    check(
        kv_heads > 0 && heads > 0 && heads % kv_heads == 0, heads, " query heads are no multiple of ",
        kv_heads, " key heads"
    );
    check(!causal || keys >= tokens, tokens, " tokens are more than ", keys, " keys");
    check(tokens == 0 || keys > 0, "there are no keys to attend to");
    check(
        bounds_.is_none() || (keys == tokens && !causal), "bounds are for self-attention that is not causal"
    );
    const Bounds bounds(bounds_, tokens);
    const Heads<float> y{out.data(), heads * size, size};
    const Attention a{heads_of(q), heads_of(k), heads_of(v), y, heads, kv_heads, size};
    const ops::Place where = place(pool, isa);
    ops::Status status{};
    {
        const Unlocked unlocked(ops::attention_cost(tokens, keys, heads, size));
        status = ops::attention(where, a, tokens, keys, causal, bounds.segments(), rounded);
    }
    finish(status);
}

void decode_rows(
    Pool& pool, int isa, const Layers& layers, nb::handle x, nb::handle cos, nb::handle sin,
    const nb::list& rooms, float eps, nb::handle out
) {
    const DecoderStep step(layers, x, cos, sin, rooms, eps, out);
    const ops::Place where = place(pool, isa);
    ops::Status status{};
    {
        const Unlocked unlocked(step.cost());
        status = step.run(where);
    }
    finish(status);
}

void activate(Pool& pool, int isa, Activation kind, nb::handle x_, nb::handle out_) {
    const Floats x(x_, "x", -1), out(out_, "out", -1, true);
    x.packed_from(0);
    out.packed_from(0);
    check(x.count() == out.count(), "out ", out.shape(), " does not fit x ", x.shape());
    const ops::Place where = place(pool, isa);
    const Unlocked unlocked(ops::activation_cost(x.count()));
    ops::activate(where, kind, x.data(), out.data(), x.count());
}

void silu_mul(Pool& pool, int isa, nb::handle gate_, nb::handle up_, nb::handle out_) {
    const Floats gate(gate_, "gate", -1), up(up_, "up", -1), out(out_, "out", -1, true);
    gate.packed_from(0);
    up.packed_from(0);
    out.packed_from(0);
    check(gate.shape() == up.shape(), "gate ", gate.shape(), " and up ", up.shape(), " differ");
    check(gate.count() == out.count(), "out ", out.shape(), " does not fit gate ", gate.shape());
    const ops::Place where = place(pool, isa);
    const Unlocked unlocked(ops::activation_cost(gate.count()));
    ops::silu_mul(where, gate.data(), up.data(), out.data(), gate.count());
}

bool is_finite(Pool& pool, int isa, nb::handle x_) {
    const Floats x(x_, "x", -1);
    x.packed_from(0);
    return ops::is_finite(place(pool, isa), x.data(), x.count());
}

double peak_int8(Pool& pool, int isa) {
    const ops::Place where = place(pool, isa);
    const nb::gil_scoped_release release;
    return ceilings::multiply_adds_per_second(where, where.kernels.peak_int8);
}

double peak_bf16(Pool& pool, int isa) {
    const ops::Place where = place(pool, isa);
    const nb::gil_scoped_release release;
    return ceilings::multiply_adds_per_second(where, where.kernels.peak_bf16);
}

double peak_f32(Pool& pool, int isa) {
    const ops::Place where = place(pool, isa);
    const nb::gil_scoped_release release;
    return ceilings::multiply_adds_per_second(where, where.kernels.peak_f32);
}

double read_rate(Pool& pool, int isa, nb::handle memory_) {
    const Array<uint8_t> memory(memory_, "memory", 1);
    check(memory.packed_from(0).count() > 0, "no memory to read");
    const ops::Place where = place(pool, isa);
    const nb::gil_scoped_release release;
    return ceilings::bytes_per_second(where, memory.data(), memory.count());
}

std::vector<std::string> isas() {
    const KernelList list = available_kernels();
    std::vector<std::string> names;
    for (int i = 0; i < list.count; ++i) names.emplace_back(list.tables[i]->name);
    return names;
}

}  // namespace
}  // namespace galago

NB_MODULE(_native, m) {
    using namespace galago;
    // A pool in a context variable may outlive the interpreter; its threads end with the process.
    nb::set_leak_warnings(false);

    nb::class_<Pool>(m, "Pool")
        .def(nb::init<int>(), nb::arg("threads"))
        .def_prop_ro("threads", &Pool::threads);
    nb::class_<Layers>(m, "Layers").def(nb::init<const nb::list&>(), nb::arg("layers"));
    nb::enum_<Activation>(m, "Activation")
        .value("silu", Activation::silu)
        .value("gelu", Activation::gelu)
        .value("gelu_tanh", Activation::gelu_tanh)
        .value("quick_gelu", Activation::quick_gelu);

    m.def("isas", isas);
    m.def(
        "linear_f32", linear_dense<float>, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().none(),
        nb::arg()
    );
    m.def(
        "linear_bf16", linear_dense<uint16_t>, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().none(),
        nb::arg()
    );
    m.def(
        "linear_packed", linear_packed, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(),
        nb::arg().none()
    );
    m.def("linear_best", linear_best);
    m.def("gated_packed", gated_packed);
    m.def(
        "pack", pack, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(),
        nb::arg().none()
    );
    m.def("embed_f32", embed_f32);
    m.def("embed_bf16", embed_bf16);
    m.def("embed_packed", embed_packed);
    m.def("rms_norm", rms_norm);
    m.def("layer_norm", layer_norm);
    m.def("rotate", rotate);
    m.def(
        "attention", attention, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(),
        nb::arg().none(), nb::arg(), nb::arg()
    );
    m.def("decode_rows", decode_rows);
    m.def("activate", activate);
    m.def("silu_mul", silu_mul);
    m.def("is_finite", is_finite);
    m.def("peak_int8", peak_int8);
    m.def("peak_bf16", peak_bf16);
    m.def("peak_f32", peak_f32);
    m.def("read_rate", read_rate);
}
