// Products with packed weights: activations rounded to int8 once, integer dot products of each group, float
// sums.
#pragma once

namespace galago::GALAGO_ISA {

// Rounds one row to int8 in `codes`; scales and sums of the groups lie `stride` apart.
inline void quantise_row(
    const float* x, int64_t cols, int64_t group, int8_t* codes, float* scales, float* sums, int64_t stride
) {
    for (int64_t begin = 0; begin < cols; begin += group, codes += group, scales += stride, sums += stride) {
        const int64_t count = cols - begin < group ? cols - begin : group;
        const float* from = x + begin;
        Vec peak = zero();
        for (int64_t i = 0; i < count; i += Vec::width) {
            const Vec v = count - i >= Vec::width ? load(from + i) : load(from + i, count - i);
            peak = max_with_nan(peak, absolute(v));
        }
        const uint32_t bits = largest_bits(peak);
        float high = 0;
        __builtin_memcpy(&high, &bits, sizeof high);
        const bool finite = bits < 0x7f800000U, used = finite && high >= 1e-30F;
        Words total = to_words(zero());
        if (used) {
            const Vec inverse = splat(127.0F / high);
            for (int64_t i = 0; i < group; i += Vec::width) {
                const int64_t n = count - i;
                const Vec v = n >= Vec::width ? load(from + i) : n > 0 ? load(from + i, n) : zero();
                const Words words = to_words(v * inverse);
                store_int8(codes + i, words);
                total = total + words;
            }
        } else {
            __builtin_memset(codes, 0, static_cast<size_t>(group));
        }
        *scales = !finite ? __builtin_nanf("") : used ? high / 127.0F : 0.0F;
        *sums = *scales * static_cast<float>(sum(total));
    }
}

// `tokens` begins at a tile; each row goes through `scratch` to its place between the other tokens of its
// tile.
inline void quantise(const Quantise& p, Span tokens, int8_t* scratch) {
    const Activations& out = p.out;
    const int64_t cols = (p.cols + p.group - 1) / p.group * p.group;
    for (int64_t t = tokens.begin; t < tokens.end; ++t) {
        const int64_t start = t / out.tile * out.tile;
        const int64_t beside = out.tokens - start < out.tile ? out.tokens - start : out.tile;
        int8_t* tile = out.codes + start * cols;
        int8_t* row = beside == 1 ? tile : scratch;
        quantise_row(p.x[t], p.cols, p.group, row, out.scales + t, out.sums + t, out.tokens);
        if (beside == 1) continue;
        for (int64_t quad = 0; quad < cols / 4; ++quad)
            __builtin_memcpy(tile + (quad * beside + t - start) * 4, row + quad * 4, 4);
    }
}

// Columns of a panel that are multiplied with all tokens before the next: they should stay in the first-level
// cache.
constexpr int64_t packed_block = 1024;

// Values of a row of y, or of bias, beside a panel; `rows` of its 16 exist.
inline PanelFloats load_panel(const float* from, int64_t rows) {
    PanelFloats all;
    for (int v = 0; v < PanelFloats::vectors; ++v) {
        const int64_t left = rows - v * Vec::width;
        all.part[v] = left <= 0            ? zero()
                      : left >= Vec::width ? load(from + v * Vec::width)
                                           : load(from + v * Vec::width, left);
    }
    return all;
}
inline void store_panel(float* to, const PanelFloats& all, int64_t rows) {
    for (int v = 0; v < PanelFloats::vectors; ++v) {
        const int64_t left = rows - v * Vec::width;
        float* part = to + v * Vec::width;
        if (left >= Vec::width) {
            store(part, all.part[v]);
        } else if (left > 0) {
            store(part, all.part[v], left);
        }
    }
}

// y += one panel times the `tokens` tokens of a tile, over some groups of columns; the first ones start from
// the bias.
template <int bits, int tokens>
inline void panel_times_tile(const PackedProduct& p, int64_t panel, int64_t start, Span groups) {
    const PackedMatrix& w = p.weight;
    const int64_t n = panel * panel_rows, first = panel * w.groups() + groups.begin;
    const int64_t rows = w.rows - n < panel_rows ? w.rows - n : panel_rows;
    const uint8_t* codes = w.codes + first * w.group * panel_rows * bits / 8;
    const uint16_t *scales = w.scales + first * panel_rows, *offsets = w.offsets + first * panel_rows;
    const int8_t* x = p.x.codes + start * w.padded_cols() + groups.begin * w.group * tokens;
    const float* steps = p.x.scales + groups.begin * p.x.tokens + start;
    const float* sums = p.x.sums + groups.begin * p.x.tokens + start;
    float* to = p.y + start * w.rows + n;

    PanelFloats y[tokens];
    for (int t = 0; t < tokens; ++t) {
        if (groups.begin > 0) {
            y[t] = load_panel(to + t * w.rows, rows);
        } else {
            y[t] = p.bias != nullptr ? load_panel(p.bias + n, rows) : load_panel(nullptr, 0);
        }
    }
    for (int64_t g = groups.begin; g < groups.end; ++g) {
        PanelSums dots[tokens];
        for (int t = 0; t < tokens; ++t) clear(dots[t]);
        for (int64_t k = 0; k < w.group; k += 32, codes += 4 * bits * panel_rows, x += 32 * tokens)
            add_dots<bits, tokens>(codes, x, dots);
        const PanelFloats scale = load_f16(scales), offset = load_f16(offsets);
        for (int t = 0; t < tokens; ++t) {
            const PanelFloats dot = to_floats(dots[t]);
            for (int v = 0; v < PanelFloats::vectors; ++v) {
                y[t].part[v] = fma(splat(steps[t]), dot.part[v] * scale.part[v], y[t].part[v]);
                y[t].part[v] = fma(splat(sums[t]), offset.part[v], y[t].part[v]);
            }
        }
        scales += panel_rows;
        offsets += panel_rows;
        steps += p.x.tokens;
        sums += p.x.tokens;
    }
    for (int t = 0; t < tokens; ++t) store_panel(to + t * w.rows, y[t], rows);
}

template <int bits, int tokens>
inline void panel_times(const PackedProduct& p, int64_t panel, int64_t start, int64_t count, Span groups) {
    if (count == tokens) {
        panel_times_tile<bits, tokens>(p, panel, start, groups);
    } else if constexpr (tokens > 1) {
        panel_times<bits, tokens - 1>(p, panel, start, count, groups);
    }
}

template <int bits>
inline void panels_times(const PackedProduct& p, Span panels) {
    const int64_t groups = p.weight.groups();
    const int64_t block = packed_block > p.weight.group ? packed_block / p.weight.group : 1;
    for (int64_t panel = panels.begin; panel < panels.end; ++panel) {
        for (int64_t g = 0; g < groups; g += block) {
            const Span part{g, g + block < groups ? g + block : groups};
            for (int64_t start = 0; start < p.x.tokens; start += p.x.tile) {
                const int64_t left = p.x.tokens - start, count = left < p.x.tile ? left : p.x.tile;
                panel_times<bits, packed_tokens>(p, panel, start, count, part);
            }
        }
    }
}

inline void linear_packed(const PackedProduct& p, Span panels) {
    if (p.weight.bits == 8) {
        panels_times<8>(p, panels);
    } else {
        panels_times<4>(p, panels);
    }
}

}  // namespace galago::GALAGO_ISA
