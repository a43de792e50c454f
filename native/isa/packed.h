// Products with packed weights: activations rounded to int8 once, integer dot products of each group, float sums.
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
        int total = 0;
        if (used) {
            const Vec inverse = splat(127.0F / high);
            for (int64_t i = 0; i < group; i += Vec::width) {
                const int64_t n = count - i;
                total += store_int8(codes + i, (n >= Vec::width ? load(from + i) : n > 0 ? load(from + i, n) : zero()) * inverse);
            }
        } else {
            __builtin_memset(codes, 0, static_cast<size_t>(group));
        }
        *scales = !finite ? __builtin_nanf("") : used ? high / 127.0F : 0.0F;
        *sums = *scales * static_cast<float>(total);
    }
}

// `tokens` begins at a tile; each row goes through `scratch` to its place between the other tokens of its tile.
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

// One panel times the `tokens` tokens of a tile.
template <int bits, int tokens>
inline void panel_times_tile(const PackedProduct& p, int64_t panel, int64_t start) {
    constexpr int vectors = PanelFloats::vectors;
    const PackedMatrix& w = p.weight;
    const int64_t groups = w.groups(), n = panel * panel_rows;
    const int64_t rows = w.rows - n < panel_rows ? w.rows - n : panel_rows;
    const uint8_t* codes = w.codes + panel * w.panel_bytes();
    const uint16_t* scales = w.scales + panel * groups * panel_rows;
    const uint16_t* offsets = w.offsets + panel * groups * panel_rows;
    const int8_t* x = p.x.codes + start * w.padded_cols();

    Vec y[tokens][vectors];
    for (int v = 0; v < vectors; ++v) {
        const int64_t left = rows - v * Vec::width;
        Vec bias = zero();
        if (p.bias != nullptr && left > 0)
            bias = left >= Vec::width ? load(p.bias + n + v * Vec::width) : load(p.bias + n + v * Vec::width, left);
        for (int t = 0; t < tokens; ++t) y[t][v] = bias;
    }
    for (int64_t g = 0; g < groups; ++g) {
        PanelSums dots[tokens];
        for (int t = 0; t < tokens; ++t) clear(dots[t]);
        for (int64_t k = 0; k < w.group; k += 32, codes += 4 * bits * panel_rows, x += 32 * tokens)
            add_dots<bits, tokens>(codes, x, dots);
        const PanelFloats scale = load_f16(scales + g * panel_rows), offset = load_f16(offsets + g * panel_rows);
        const float* step = p.x.scales + g * p.x.tokens + start;
        const float* sum = p.x.sums + g * p.x.tokens + start;
        for (int t = 0; t < tokens; ++t) {
            const PanelFloats dot = to_floats(dots[t]);
            for (int v = 0; v < vectors; ++v) {
                y[t][v] = fma(splat(step[t]), dot.part[v] * scale.part[v], y[t][v]);
                y[t][v] = fma(splat(sum[t]), offset.part[v], y[t][v]);
            }
        }
    }
    for (int t = 0; t < tokens; ++t) {
        for (int v = 0; v < vectors; ++v) {
            const int64_t left = rows - v * Vec::width;
            float* to = p.y + (start + t) * w.rows + n + v * Vec::width;
            if (left >= Vec::width) {
                store(to, y[t][v]);
            } else if (left > 0) {
                store(to, y[t][v], left);
            }
        }
    }
}

template <int bits, int tokens>
inline void panel_times(const PackedProduct& p, int64_t panel, int64_t start, int64_t count) {
    if (count == tokens) {
        panel_times_tile<bits, tokens>(p, panel, start);
    } else if constexpr (tokens > 1) {
        panel_times<bits, tokens - 1>(p, panel, start, count);
    }
}

inline void linear_packed(const PackedProduct& p, Span panels) {
    for (int64_t panel = panels.begin; panel < panels.end; ++panel) {
        for (int64_t start = 0; start < p.x.tokens; start += p.x.tile) {
            const int64_t left = p.x.tokens - start, count = left < p.x.tile ? left : p.x.tile;
            if (p.weight.bits == 8) {
                panel_times<8, packed_tokens>(p, panel, start, count);
            } else {
                panel_times<4, packed_tokens>(p, panel, start, count);
            }
        }
    }
}

}  // namespace galago::GALAGO_ISA
