// The specification: every kernel as a straight loop, with sums in double. Never optimised.
#include <cmath>
#include <cstring>

#include "kernels.h"

namespace galago::generic {
namespace {

float from_bf16(uint16_t half) {
    const uint32_t word = uint32_t{half} << 16;
    float value = 0;
    std::memcpy(&value, &word, sizeof value);
    return value;
}

float from_f16(uint16_t half) {
    const int exponent = half >> 10 & 31;
    const float sign = (half & 0x8000) != 0 ? -1.0F : 1.0F;
    const auto fraction = static_cast<float>(half & 1023);
    if (exponent == 0) return sign * std::ldexp(fraction, -24);
    if (exponent == 31) return fraction == 0 ? sign * INFINITY : NAN;
    return sign * std::ldexp(1024 + fraction, exponent - 25);
}

float widen(float value) { return value; }
float widen(uint16_t value) { return from_bf16(value); }

template <class W>
void linear(const DenseProduct<W>& p, Span rows, float*) {
    for (int64_t t = 0; t < p.tokens; ++t) {
        for (int64_t n = rows.begin; n < rows.end; ++n) {
            double sum = p.bias != nullptr ? p.bias[n] : 0;
            for (int64_t k = 0; k < p.cols; ++k) sum += double{p.x[t][k]} * widen(p.weight[n * p.cols + k]);
            p.y[t * p.rows + n] = static_cast<float>(sum);
        }
    }
}

constexpr int64_t tile = 1;

Layout packed_layout(int64_t, int64_t) { return {tile, 4}; }

void quantise(const Quantise& p, Span tokens, int8_t*) {
    const int64_t groups = (p.cols + p.group - 1) / p.group;
    for (int64_t t = tokens.begin; t < tokens.end; ++t) {
        int8_t* codes = p.out.codes + t * groups * p.group;
        for (int64_t g = 0; g < groups; ++g) {
            const int64_t begin = g * p.group;
            const int64_t end = begin + p.group < p.cols ? begin + p.group : p.cols;
            float peak = 0;
            bool finite = true;
            for (int64_t k = begin; k < end; ++k) {
                peak = std::fmax(peak, std::fabs(p.x[t][k]));
                finite = finite && std::isfinite(p.x[t][k]);
            }
            const bool used = finite && peak >= 1e-30F;
            const float inverse = used ? 127.0F / peak : 0;
            int sum = 0;
            for (int64_t k = begin; k < begin + p.group; ++k) {
                codes[k] = used && k < end ? static_cast<int8_t>(std::nearbyint(p.x[t][k] * inverse)) : 0;
                sum += codes[k];
            }
            const float scale = !finite ? NAN : used ? peak / 127.0F : 0;
            p.out.scales[g * p.out.tokens + t] = scale;
            p.out.balances[g * p.out.tokens + t] = -128 * sum;
        }
    }
}

// The int8 value of one row and column of a panel.
int value(const PackedMatrix& w, int64_t panel, int64_t row, int64_t col) {
    const uint8_t* codes = w.codes + panel * w.panel_bytes();
    const int64_t quad = col / 4, place = row * 4 + col % 4;
    if (w.bits == 8) return codes[quad * 64 + place] - 128;
    const int nibble = codes[quad / 2 * 64 + place] >> (quad % 2 * 4) & 15;
    const int step = w.steps[(panel * (w.padded_cols() / step_cols) + col / step_cols) * panel_rows + row];
    return static_cast<int8_t>(((step >> 4) + 1) * (nibble - (step & 15)));
}

int64_t packed_scratch(const PackedProduct&) { return 0; }

void linear_packed(const PackedProduct& p, Span panels, void*) {
    const PackedMatrix& w = p.weight;
    const int64_t cols = w.padded_cols();
    for (int64_t n = panels.begin * panel_rows; n < panels.end * panel_rows && n < w.rows; ++n) {
        const int64_t panel = n / panel_rows, row = n % panel_rows;
        for (int64_t t = 0; t < p.x.tokens; ++t) {
            double sum = 0;
            for (int64_t g = 0; g < w.groups(); ++g) {
                int64_t dot = 0, total = 0;
                for (int64_t k = g * w.group; k < (g + 1) * w.group; ++k) {
                    dot += value(w, panel, row, k) * p.x.codes[t * cols + k];
                    total += p.x.codes[t * cols + k];
                }
                const int64_t place = (panel * w.groups() + g) * panel_rows + row;
                const double step = p.x.scales[g * p.x.tokens + t];
                sum += step * from_f16(w.scales[place]) * static_cast<double>(dot);
                if (w.offsets != nullptr)
                    sum += step * from_f16(w.offsets[place]) * static_cast<double>(total);
            }
            if (p.bias != nullptr) sum += p.bias[n];
            if (p.residual.data != nullptr) sum += p.residual[t][n];
            p.y[t][n] = static_cast<float>(sum);
        }
    }
}

// The least float16 that is not below a finite x >= 0, as its bits.
int half_at_least(float x) {
    int low = 0, high = 0x7C00;
    while (low < high) {
        const int middle = (low + high) / 2;
        if (from_f16(static_cast<uint16_t>(middle)) < x) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

float clip(float x, float least, float most) { return std::fmin(std::fmax(x, least), most); }

// The nibbles of 32 columns on the grid that errs least, and that grid as a step (packing.py: _to_grid).
uint8_t fit_grid(const float* units, int* nibbles) {
    float low = 0, high = 0;
    for (int64_t i = 0; i < step_cols; ++i) {
        low = std::fmin(low, units[i]);
        high = std::fmax(high, units[i]);
    }
    const auto widest = static_cast<int>(clip(std::ceil((high - low) / 15), 1, 16));
    double best = INFINITY;
    int step = 0;
    for (int multiplier = widest; multiplier > widest - 5 && multiplier > 0; --multiplier) {
        const auto by = static_cast<float>(multiplier);
        const float zero = clip(std::nearbyint(7.5F - (high + low) / (2 * by)), 0, 15);
        const float least = std::fmax(-zero, -static_cast<float>(128 / multiplier));
        const float most = std::fmin(15 - zero, static_cast<float>(127 / multiplier));
        int candidate[step_cols];
        double squares = 0;
        for (int64_t i = 0; i < step_cols; ++i) {
            const float level = clip(std::nearbyint(units[i] / by), least, most);
            squares += std::pow(double{level * by} - units[i], 2);
            candidate[i] = static_cast<int>(level + zero);
        }
        if (squares >= best) continue;
        best = squares;
        step = (multiplier - 1) * 16 + static_cast<int>(zero);
        std::memcpy(nibbles, candidate, sizeof candidate);
    }
    return static_cast<uint8_t>(step);
}

bool pack(const Pack& p, Span panels) {
    const int64_t groups = (p.cols + p.group - 1) / p.group;
    bool good = true;
    for (int64_t n = panels.begin * panel_rows; n < panels.end * panel_rows; ++n) {
        const int64_t panel = n / panel_rows, row = n % panel_rows;
        const auto value = [&](int64_t k) { return n < p.rows && k < p.cols ? p.x[n][k] : 0.0F; };
        for (int64_t g = 0; g < groups; ++g) {
            float peak = 0;
            for (int64_t k = g * p.group; k < (g + 1) * p.group; ++k)
                peak = std::fmax(peak, std::fabs(value(k)));
            const int half = half_at_least(peak / 127.0F);
            good = good && half < 0x7C00;
            const float scale = from_f16(static_cast<uint16_t>(half)), inverse = scale > 0 ? 1 / scale : 0;
            p.scales[(panel * groups + g) * panel_rows + row] = static_cast<uint16_t>(half);
            uint8_t* codes = p.codes + panel * groups * p.group * panel_rows * p.bits / 8 + row * 4;
            for (int64_t first = g * p.group; first < (g + 1) * p.group; first += step_cols) {
                float units[step_cols];
                int nibbles[step_cols];
                for (int64_t i = 0; i < step_cols; ++i) units[i] = value(first + i) * inverse;
                if (p.bits == 4)
                    p.steps[(panel * groups * p.group + first) / step_cols * panel_rows + row] =
                        fit_grid(units, nibbles);
                for (int64_t i = 0; i < step_cols; ++i) {
                    const int64_t quad = (first + i) / 4, place = i % 4;
                    if (p.bits == 8) {
                        codes[quad * 64 + place] = static_cast<uint8_t>(std::nearbyint(units[i]) + 128);
                    } else {
                        uint8_t& both = codes[quad / 2 * 64 + place];
                        both = static_cast<uint8_t>(quad % 2 == 0 ? nibbles[i] : both | nibbles[i] << 4);
                    }
                }
            }
        }
    }
    return good;
}

void rms_norm(const Norm& p, Span tokens) {
    for (int64_t t = tokens.begin; t < tokens.end; ++t) {
        double squares = 0;
        for (int64_t i = 0; i < p.cols; ++i) squares += double{p.x[t][i]} * p.x[t][i];
        const double scale = 1 / std::sqrt(squares / static_cast<double>(p.cols) + p.eps);
        for (int64_t i = 0; i < p.cols; ++i)
            p.y[t * p.cols + i] = static_cast<float>(p.x[t][i] * scale * p.weight[i]);
    }
}

void layer_norm(const Norm& p, Span tokens) {
    const auto count = static_cast<double>(p.cols);
    for (int64_t t = tokens.begin; t < tokens.end; ++t) {
        double sum = 0, squares = 0;
        for (int64_t i = 0; i < p.cols; ++i) sum += p.x[t][i];
        const double mean = sum / count;
        for (int64_t i = 0; i < p.cols; ++i) squares += (p.x[t][i] - mean) * (p.x[t][i] - mean);
        const double scale = 1 / std::sqrt(squares / count + p.eps);
        for (int64_t i = 0; i < p.cols; ++i)
            p.y[t * p.cols + i] = static_cast<float>((p.x[t][i] - mean) * scale * p.weight[i] + p.bias[i]);
    }
}

void rotate(const Rotate& p, Span tokens) {
    const int64_t half = p.size / 2;
    for (int64_t t = tokens.begin; t < tokens.end; ++t) {
        for (int64_t h = 0; h < p.heads; ++h) {
            const float* x = p.x.at(t, h);
            float* y = p.y.at(t, h);
            for (int64_t i = 0; i < half; ++i) {
                const float c = p.cos[t * half + i], s = p.sin[t * half + i];
                y[i] = x[i] * c - x[i + half] * s;
                y[i + half] = x[i + half] * c + x[i] * s;
            }
        }
    }
}

int64_t attention_scratch(const Attention& p, int64_t) { return p.size; }

// One pass over the keys: when a larger score comes, what is summed shrinks.
void attend_row(const RowAttention& p, float* sums) {
    for (int64_t h = 0; h < p.heads; ++h) {
        double peak = -INFINITY, total = 0;
        for (int64_t i = 0; i < p.size; ++i) sums[i] = 0;
        for (int64_t s = 0; s < p.count; ++s) {
            double score = 0;
            for (int64_t i = 0; i < p.size; ++i) score += double{p.q[h][i]} * p.keys[s][i];
            score /= std::sqrt(static_cast<double>(p.size));
            const double old = peak;
            if (!(score <= peak)) peak = score;
            const double shrink = s == 0 ? 0 : std::exp(old - peak);
            const double weight = std::exp(score - peak);
            total = total * shrink + weight;
            for (int64_t i = 0; i < p.size; ++i)
                sums[i] = static_cast<float>(sums[i] * shrink + weight * p.values[s][i]);
        }
        for (int64_t i = 0; i < p.size; ++i) p.y[h][i] = static_cast<float>(sums[i] / total);
    }
}

void attention(const Attention& p, const AttentionPart& part, float* scratch) {
    const int64_t share = p.heads / p.kv_heads, first = part.kv_head * share;
    for (int64_t t = part.queries.begin; t < part.queries.end; ++t) {
        const int64_t count =
            part.causal ? part.seen + t - part.queries.begin : part.keys.end - part.keys.begin;
        const Past keys = Past::of(p.k, part.kv_head, part.keys.begin, count);
        const Past values = Past::of(p.v, part.kv_head, part.keys.begin, count);
        const Rows<const float> q{p.q.at(t, first), p.q.head_stride};
        const Rows<float> y{p.y.at(t, first), p.y.head_stride};
        attend_row({q, keys, values, count, y, share, p.size}, scratch);
    }
}

double activated(Activation kind, double x) {
    switch (kind) {
        case Activation::silu:
            return x / (1 + std::exp(-x));
        case Activation::gelu:
            return 0.5 * x * std::erfc(-x * std::sqrt(0.5));
        case Activation::gelu_tanh:  // 0.5 (1 + tanh(u)) = 1 / (1 + exp(-2 u))
            return x / (1 + std::exp(-2 * std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
        case Activation::quick_gelu:
            return x / (1 + std::exp(-1.702 * x));
    }
    return NAN;
}

void activate(Activation kind, const float* x, float* y, int64_t count) {
    for (int64_t i = 0; i < count; ++i) y[i] = static_cast<float>(activated(kind, x[i]));
}

void silu_mul(const float* gate, const float* up, float* y, int64_t count) {
    for (int64_t i = 0; i < count; ++i)
        y[i] = static_cast<float>(activated(Activation::silu, gate[i]) * up[i]);
}

bool is_finite(const float* x, int64_t count) {
    for (int64_t i = 0; i < count; ++i)
        if (!std::isfinite(x[i])) return false;
    return true;
}

void embed_bf16(const uint16_t* row, float* y, int64_t cols) {
    for (int64_t i = 0; i < cols; ++i) y[i] = from_bf16(row[i]);
}

void embed_packed(const PackedMatrix& w, int64_t n, float* y) {
    const int64_t panel = n / panel_rows, row = n % panel_rows;
    for (int64_t g = 0; g < w.groups(); ++g) {
        const int64_t place = (panel * w.groups() + g) * panel_rows + row;
        const float scale = from_f16(w.scales[place]);
        const float offset = w.offsets != nullptr ? from_f16(w.offsets[place]) : 0;
        for (int64_t k = g * w.group; k < (g + 1) * w.group && k < w.cols; ++k)
            y[k] = scale * static_cast<float>(value(w, panel, row, k)) + offset;
    }
}

float read(const void* memory, int64_t bytes) {
    const auto* words = static_cast<const uint64_t*>(memory);
    uint64_t sum = 0;
    for (int64_t i = 0; i < bytes / static_cast<int64_t>(sizeof(uint64_t)); ++i) sum += words[i];
    return static_cast<float>(sum);
}

}  // namespace

void fill(Kernels& k) {
    k.name = "generic";
    k.dense_panel = 1;
    k.dense_scratch = 0;
    k.linear_f32 = linear<float>;
    k.linear_bf16 = linear<uint16_t>;
    k.packed_tile = tile;
    k.packed_cache = 1 << 20;
    k.packed_most = 1 << 20;
    k.packed_layout = packed_layout;
    k.quantise = quantise;
    k.packed_scratch = packed_scratch;
    k.linear_packed = k.linear_packed_otherwise = linear_packed;
    k.pack = pack;
    k.rms_norm = rms_norm;
    k.layer_norm = layer_norm;
    k.rotate = rotate;
    k.attention_rows = 1;
    k.attention_scratch = attention_scratch;
    k.attention = attention;
    k.attend_row = attend_row;
    k.activate = activate;
    k.silu_mul = silu_mul;
    k.is_finite = is_finite;
    k.embed_bf16 = embed_bf16;
    k.embed_packed = embed_packed;
    k.read = k.read_straight = read;
}

}  // namespace galago::generic
