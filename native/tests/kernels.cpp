// Runs every kernel of every instruction set that this machine offers, on exactly sized memory, against the
// generic kernels. Built with the sanitizers, so that a read or write beside an array ends the program.
// Shapes have every kind of remainder; memory is not aligned beyond its type.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "decoder.h"
#include "kernels.h"
#include "ops.h"
#include "pool.h"

using namespace galago;

namespace {

std::mt19937 generator(5);
int failures = 0;

// Values that begin one element after an allocation's start, so that vectors are not aligned by accident.
template <class T>
class Block {
public:
    explicit Block(int64_t count) : memory_(static_cast<size_t>(count) + 1) {}
    T* data() { return memory_.data() + 1; }
    int64_t size() const { return static_cast<int64_t>(memory_.size()) - 1; }
    T& operator[](int64_t i) { return memory_[static_cast<size_t>(i) + 1]; }

private:
    std::vector<T> memory_;
};

Block<float> random_floats(int64_t count) {
    Block<float> block(count);
    std::normal_distribution<float> normal;
    for (int64_t i = 0; i < count; ++i) block[i] = normal(generator);
    return block;
}

Block<uint8_t> random_bytes(int64_t count) {
    Block<uint8_t> block(count);
    for (int64_t i = 0; i < count; ++i) block[i] = static_cast<uint8_t>(generator());
    return block;
}

// Finite float16 of magnitude 2^-7 .. 1.
Block<uint16_t> random_halves(int64_t count) {
    Block<uint16_t> block(count);
    for (int64_t i = 0; i < count; ++i)
        block[i] = static_cast<uint16_t>((generator() & 0x83FFU) | ((8U + generator() % 7U) << 10U));
    return block;
}

void compare(const std::string& what, Block<float>& got, Block<float>& want, double tolerance) {
    double scale = 1e-6, error = 0;
    for (int64_t i = 0; i < want.size(); ++i) scale = std::fmax(scale, std::fabs(want[i]));
    for (int64_t i = 0; i < want.size(); ++i) error = std::fmax(error, std::fabs(double{got[i]} - want[i]));
    if (error <= tolerance * scale) return;
    std::printf("%s: error %g of %g\n", what.c_str(), error, scale);
    ++failures;
}

struct Machines {
    const Kernels& tested;
    Pool& pool;
    ops::Place here() const { return {pool, tested}; }
    ops::Place judge() const { return {pool, *available_kernels().tables[0]}; }
    std::string name(const char* kernel) const { return std::string(tested.name) + " " + kernel; }
};

template <class F>
void both(const Machines& m, const char* kernel, int64_t outputs, double tolerance, const F& run) {
    Block<float> got(outputs), want(outputs);
    run(m.here(), got.data());
    run(m.judge(), want.data());
    compare(m.name(kernel), got, want, tolerance);
}

void dense_products(const Machines& m) {
    for (const int64_t tokens : {0, 1, 3, 8, 9, 31}) {
        for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{1, 1}, {7, 33}, {35, 270}, {64, 64}}) {
            auto x = random_floats(tokens * cols), weight = random_floats(rows * cols),
                 bias = random_floats(rows);
            auto halves = random_halves(rows * cols);
            both(m, "linear_f32", tokens * rows, 1e-5, [&](const ops::Place& place, float* y) {
                ops::linear(
                    place,
                    DenseProduct<float>{{x.data(), cols}, weight.data(), bias.data(), y, tokens, rows, cols}
                );
            });
            both(m, "linear_bf16", tokens * rows, 1e-5, [&](const ops::Place& place, float* y) {
                ops::linear(
                    place,
                    DenseProduct<uint16_t>{{x.data(), cols}, halves.data(), nullptr, y, tokens, rows, cols}
                );
            });
        }
    }
}

void packed_products(const Machines& m) {
    for (const int bits : {4, 8}) {
        for (const int64_t group : {32, 64, 128}) {
            for (const auto& [rows, cols] :
                 {std::pair<int64_t, int64_t>{1, 1}, {16, 64}, {37, 150}, {237, 150}}) {
                PackedMatrix w{nullptr, nullptr, nullptr, nullptr, rows, cols, group, bits};
                auto codes = random_bytes(w.panels() * w.panel_bytes());
                auto scales = random_halves(w.panels() * w.groups() * panel_rows);
                auto steps = random_bytes(w.panels() * w.padded_cols() / step_cols * panel_rows);
                for (int64_t i = 0; i < steps.size(); ++i) steps[i] &= 0x7F;  // 8 * 15: all values are int8
                auto offsets = random_halves(w.panels() * w.groups() * panel_rows);
                w.codes = codes.data();
                w.scales = scales.data();
                if (bits == 4) w.steps = steps.data();
                if (rows == 37) w.offsets = offsets.data();
                for (const int64_t tokens : {0, 1, 2, 13, 40, 70}) {
                    if (rows == 237 && tokens != 1) continue;  // for the streams of one token
                    auto x = random_floats(tokens * cols), bias = random_floats(rows);
                    auto more = random_floats(tokens * rows);
                    both(m, "linear_packed", tokens * rows, 1e-5, [&](const ops::Place& place, float* y) {
                        const ops::Target target{
                            w, tokens % 2 == 0 ? bias.data() : nullptr, y, tokens % 3 == 1 ? more.data() : nullptr
                        };
                        ops::linear(place, {x.data(), cols}, tokens, &target, 1);
                    });
                    both(m, "gated", tokens * rows, 1e-4, [&](const ops::Place& place, float* y) {
                        const ops::Target gate{w, bias.data(), y}, up{w, nullptr, nullptr};
                        ops::gated(place, {x.data(), cols}, tokens, gate, up);
                    });
                    both(m, "three", 3 * tokens * rows, 1e-5, [&](const ops::Place& place, float* y) {
                        const int64_t all = tokens * rows;
                        const ops::Target targets[] = {
                            {w, nullptr, y}, {w, bias.data(), y + all}, {w, nullptr, y + 2 * all}
                        };
                        ops::linear(place, {x.data(), cols}, tokens, targets, 3);
                    });
                }
                Block<float> row(cols);
                for (int64_t n = 0; n < rows; ++n) m.tested.embed_packed(w, n, row.data());
            }
        }
    }
}

// The copy is the weight, so the result is the product, and sure where there are rows enough.
void screened_products(const Machines& m) {
    for (const int64_t candidates : {3, 9}) {
        const int64_t rows = 237, cols = 150;
        PackedMatrix w{nullptr, nullptr, nullptr, nullptr, rows, cols, 32, 8};
        auto codes = random_bytes(w.panels() * w.panel_bytes());
        auto scales = random_halves(w.panels() * w.groups() * panel_rows);
        auto x = random_floats(cols);
        w.codes = codes.data();
        w.scales = scales.data();
        both(m, "linear_best", rows + 1, 1e-5, [&](const ops::Place& place, float* y) {
            bool sure = false;
            ops::linear_best(place, {x.data(), cols}, {w, w, candidates, 2, 1, y}, &sure);
            if (!sure) std::fill_n(y, rows, 0.0F);
            y[rows] = sure ? 1 : 0;
        });
    }
}

void packing(const Machines& m) {
    for (const int bits : {4, 8}) {
        for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{1, 1}, {16, 64}, {37, 150}}) {
            PackedMatrix w{nullptr, nullptr, nullptr, nullptr, rows, cols, 64, bits};
            auto x = random_floats(rows * cols);
            const auto run = [&](const ops::Place& place, Block<uint8_t>& codes, Block<uint16_t>& scales) {
                Block<uint8_t> steps(w.panels() * w.padded_cols() / step_cols * panel_rows);
                uint8_t* of_nibbles = bits == 4 ? steps.data() : nullptr;
                const Pack p{{x.data(), cols}, rows,          cols,      w.group, bits,
                             codes.data(),     scales.data(), of_nibbles};
                if (!ops::pack(place, p)) ++failures;
            };
            Block<uint8_t> got(w.panels() * w.panel_bytes()), want(w.panels() * w.panel_bytes());
            const int64_t factors = w.panels() * w.groups() * panel_rows;
            Block<uint16_t> scales(factors), judged(factors);
            run(m.here(), got, scales);
            run(m.judge(), want, judged);
            int64_t different = 0;
            for (int64_t i = 0; i < factors; ++i) different += scales[i] != judged[i];
            for (int64_t i = 0; i < got.size(); ++i) different += bits == 8 && got[i] != want[i];
            if (different == 0) continue;
            std::printf("%s: %lld differ\n", m.name("pack").c_str(), static_cast<long long>(different));
            ++failures;
        }
    }
}

void passes(const Machines& m) {
    for (const int64_t cols : {1, 7, 16, 33, 130}) {
        const int64_t tokens = 5, heads = 3;
        auto x = random_floats(tokens * cols), weight = random_floats(cols), bias = random_floats(cols);
        both(m, "rms_norm", tokens * cols, 1e-5, [&](const ops::Place& place, float* y) {
            ops::rms_norm(place, {{x.data(), cols}, weight.data(), nullptr, y, cols, 1e-6F}, tokens);
        });
        both(m, "layer_norm", tokens * cols, 1e-4, [&](const ops::Place& place, float* y) {
            ops::layer_norm(place, {{x.data(), cols}, weight.data(), bias.data(), y, cols, 1e-6F}, tokens);
        });
        for (const auto kind :
             {Activation::silu, Activation::gelu, Activation::gelu_tanh, Activation::quick_gelu})
            both(m, "activate", x.size(), 1e-6, [&](const ops::Place& place, float* y) {
                ops::activate(place, kind, x.data(), y, x.size());
            });
        auto up = random_floats(x.size());
        both(m, "silu_mul", x.size(), 1e-6, [&](const ops::Place& place, float* y) {
            ops::silu_mul(place, x.data(), up.data(), y, x.size());
        });
        auto turned = random_floats(tokens * heads * 2 * cols), cos = random_floats(tokens * cols);
        const int64_t size = 2 * cols;
        both(m, "rotate", turned.size(), 1e-6, [&](const ops::Place& place, float* y) {
            ops::rotate(
                place,
                {{turned.data(), heads * size, size},
                 cos.data(),
                 cos.data(),
                 {y, heads * size, size},
                 heads,
                 size},
                tokens
            );
        });
        if (!ops::is_finite(m.here(), x.data(), x.size())) ++failures;
        x[x.size() - 1] = INFINITY;
        if (ops::is_finite(m.here(), x.data(), x.size())) ++failures;
    }
}

void attention(const Machines& m) {
    struct Case {
        int64_t tokens, keys, heads, kv_heads, size;
        bool causal;
    };
    for (const Case& c :
         {Case{1, 1, 1, 1, 3, true},
          {1, 67, 4, 2, 8, true},
          {19, 83, 6, 2, 17, true},
          {70, 70, 2, 2, 40, false}}) {
        auto q = random_floats(c.tokens * c.heads * c.size);
        auto k = random_floats(c.keys * c.kv_heads * c.size), v = random_floats(c.keys * c.kv_heads * c.size);
        const std::vector<int32_t> bounds{0, 5, 5, 64, 70};
        const ops::Segments segments = c.causal ? ops::Segments{nullptr, 1} : ops::Segments{bounds.data(), 4};
        for (const bool rounded : {false, true})
            both(m, "attention", q.size(), rounded ? 2e-2 : 1e-5, [&](const ops::Place& place, float* y) {
                const int64_t token = c.heads * c.size, key = c.kv_heads * c.size;
                const Attention a{
                    {q.data(), token, c.size},
                    {k.data(), key, c.size},
                    {v.data(), key, c.size},
                    {y, token, c.size},
                    c.heads,
                    c.kv_heads,
                    c.size
                };
                ops::attention(place, a, c.tokens, c.keys, c.causal, segments, rounded);
            });
    }
}

// Two layers of a decoder for a token of each of some sequences, of which the second shares its first keys; of a kind
// that is computed on one thread and of one that is shared.
void decoder_rows(const Machines& m) {
    for (const int64_t dim : {48, 608}) {
        const int64_t heads = 4, kv_heads = 2, size = 12, wide = 2 * dim + 5, tokens = 7;
        std::vector<Block<uint8_t>> bytes;
        std::vector<Block<uint16_t>> halves;
        std::vector<Block<float>> floats;
        const auto product = [&](int64_t rows, int64_t cols, bool biased) {
            PackedMatrix w{nullptr, nullptr, nullptr, nullptr, rows, cols, 32, 4};
            w.codes = bytes.emplace_back(random_bytes(w.panels() * w.panel_bytes())).data();
            w.scales = halves.emplace_back(random_halves(w.panels() * w.groups() * panel_rows)).data();
            const int64_t count = w.panels() * w.padded_cols() / step_cols * panel_rows;
            auto& steps = bytes.emplace_back(random_bytes(count));
            for (int64_t i = 0; i < steps.size(); ++i) steps[i] &= 0x0F;
            w.steps = steps.data();
            const float* bias = biased ? floats.emplace_back(random_floats(rows)).data() : nullptr;
            return ops::Target{w, bias, nullptr};
        };
        std::vector<decoder::Layer> layers(2);
        for (auto& layer : layers) {
            layer.attn_norm = floats.emplace_back(random_floats(dim)).data();
            layer.mlp_norm = floats.emplace_back(random_floats(dim)).data();
            layer.q = product(heads * size, dim, true);
            layer.k = product(kv_heads * size, dim, true);
            layer.v = product(kv_heads * size, dim, true);
            layer.o = product(dim, heads * size, false);
            layer.gate = product(wide, dim, false);
            layer.up = product(wide, dim, false);
            layer.down = product(dim, wide, false);
        }
        const int64_t row = kv_heads * size;
        for (const int64_t count : {1, 3, 20}) {
            std::vector<decoder::Length> lengths;
            for (int64_t t = 0; t < count; ++t) lengths.push_back({t == 1 ? 70 : 0, 7 + t});
            auto x = random_floats(count * dim), turn = random_floats(count * size / 2);
            const int64_t room = 7 + count;
            auto shared = random_floats(70 * row), past = random_floats(room * row);
            both(m, "decoder", count * (dim + 4 * row), 0.02, [&](const ops::Place& place, float* y) {
                std::vector<Block<float>> arrays(static_cast<size_t>(4 * count), past);
                std::vector<decoder::Kept> kept;
                for (size_t i = 0; i < arrays.size(); i += 2) {
                    const bool shares = lengths[i / 2 % static_cast<size_t>(count)].shared > 0;
                    const Heads<const float> before{shares ? shared.data() : nullptr, size, 70 * size};
                    const auto own = [&](size_t k) { return Heads<float>{arrays[k].data(), size, room * size}; };
                    kept.push_back({before, before, own(i), own(i + 1)});
                }
                const decoder::Step step{x.data(),    turn.data(), turn.data(), y,        lengths.data(),
                                         kept.data(), count,       heads,       kv_heads, size,
                                         1e-6F};
                decoder::run(place, layers.data(), 2, step);
                y += count * dim;
                for (size_t i = 0; i < arrays.size(); ++i) {
                    const int64_t own = lengths[i / 2 % static_cast<size_t>(count)].own;
                    for (int64_t head = 0; head < kv_heads; ++head)
                        y = std::copy_n(arrays[i].data() + (head * room + own - 1) * size, size, y);
                }
            });
        }
    }
}

// The loops that measure ceilings do the work that they are counted for, and read no byte too many.
void ceilings(const Machines& m) {
    for (const Peak& peak : {m.tested.peak_int8, m.tested.peak_bf16, m.tested.peak_f32}) {
        if (peak.run == nullptr) continue;
        const double added = peak.run(5, 1) - peak.run(2, 1), wanted = 3.0 * static_cast<double>(peak.madds);
        if (added == wanted) continue;
        std::printf("%s: %g multiply-adds, not %g\n", m.name("peak").c_str(), added, wanted);
        ++failures;
    }
    for (const int64_t words : {0, 1, 17, 512, 1000}) {
        Block<uint64_t> block(words);
        m.tested.read(block.data(), words * 8);
        m.tested.read_straight(block.data(), words * 8);
    }
}

}  // namespace

int main() {
    Pool pool(3);
    const KernelList list = available_kernels();
    for (int i = 0; i < list.count; ++i) {
        const Machines machines{*list.tables[i], pool};
        dense_products(machines);
        packed_products(machines);
        Kernels other = machines.tested;
        std::swap(other.linear_packed, other.linear_packed_otherwise);
        packed_products({other, pool});
        screened_products(machines);
        packing(machines);
        passes(machines);
        attention(machines);
        decoder_rows(machines);
        ceilings(machines);
        std::printf("%s: done\n", machines.tested.name);
    }
    return failures == 0 ? 0 : 1;
}
