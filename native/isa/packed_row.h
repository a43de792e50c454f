// Products of packed weights with one token. Every byte is used once, so the rate of memory is what counts, and
// memory gives more to several streams than to one (LOG 2026-11-28): panels from as many places are multiplied
// in turn. Beside what packed.h wants, a trait gives row_streams, 0 where a row is multiplied as a tile is; if
// more, add_nibbles (a group of columns of several panels, nibbles as they are) and step_total.
#pragma once

namespace galago::GALAGO_ISA {

// y = sums + bias + residual for some tokens and one panel of several.
inline void finish(const PackedProduct& p, int64_t panel, Span tokens, const float* sums, int64_t stride) {
    const int64_t n = panel * panel_rows;
    const int64_t rows = p.weight.rows - n < panel_rows ? p.weight.rows - n : panel_rows;
    for (int64_t v = 0; v < rows; v += Vec::width) {
        const int64_t left = rows - v;
        const bool whole = left >= Vec::width;
        const Vec bias = p.bias == nullptr ? zero()
                         : whole           ? load(p.bias + n + v)
                                           : load(p.bias + n + v, left);
        for (int64_t t = tokens.begin; t < tokens.end; ++t) {
            Vec sum = load(sums + t * stride + v) + bias;
            if (p.residual.data != nullptr) {
                const float* more = p.residual[t] + n + v;
                sum = sum + (whole ? load(more) : load(more, left));
            }
            float* to = p.y[t] + n + v;
            if (whole) {
                store(to, sum);
            } else {
                store(to, sum, left);
            }
        }
    }
}

inline bool takes_row(const PackedProduct& p) { return row_streams > 0 && p.x.tokens == 1; }

// The sums of 32 activations each, where nibbles are kept.
inline int64_t row_scratch(const PackedProduct& p) {
    return p.weight.bits == 4 ? p.weight.padded_cols() / step_cols * static_cast<int64_t>(sizeof(int32_t)) : 0;
}

// Instruction sets without streams do not define these.
int32_t step_total(const int8_t* x);
template <int streams>
void add_nibbles(
    const uint8_t* codes, int64_t codes_apart, const uint8_t* steps, int64_t steps_apart, const int8_t* x,
    const int32_t* totals, int64_t count, PanelSums* sums
);

// The first panels of `streams` equal parts of a span, then the second ones, and so on; then what is left, in
// half as many streams.
template <int streams>
inline void multiply_streams(const PackedProduct& p, Span panels, const int32_t* totals) {
    const PackedMatrix& w = p.weight;
    const int64_t each = (panels.end - panels.begin) / streams, group_steps = w.group / step_cols;
    const int64_t panel_steps = w.groups() * group_steps * panel_rows;
    for (int64_t panel = panels.begin; panel < panels.begin + each; ++panel) {
        const uint8_t* codes[streams];
        float sums[streams][panel_rows] = {};
        for (int s = 0; s < streams; ++s) codes[s] = w.codes + (panel + s * each) * w.panel_bytes();
        for (int64_t g = 0; g < w.groups(); ++g) {
            const int8_t* x = p.x.codes + g * w.group;
            PanelSums dots[1][streams];
            if (w.bits == 4) {
                const uint8_t* steps = w.steps + panel * panel_steps + g * group_steps * panel_rows;
                add_nibbles<streams>(
                    codes[0], each * w.panel_bytes(), steps, each * panel_steps, x, totals + g * group_steps,
                    group_steps, dots[0]
                );
            } else {
                for (PanelSums& one : dots[0]) begin(one, p.x.balances[g]);
                add_dots<streams, 1>(codes, x, w.group / 4, dots);
            }
            const auto total = static_cast<float>(p.x.balances[g]) * (-1.0F / 128);
            const Vec by = splat(p.x.scales[g]), all = splat(p.x.scales[g] * total);
            for (int s = 0; s < streams; ++s) {
                codes[s] += w.group * panel_rows * w.bits / 8;
                const int64_t at = ((panel + s * each) * w.groups() + g) * panel_rows;
                const PanelFloats dot = to_floats(dots[0][s]), scale = load_f16(w.scales + at);
                const PanelFloats offset = w.offsets == nullptr ? PanelFloats{} : load_f16(w.offsets + at);
                for (int v = 0; v < PanelFloats::vectors; ++v) {
                    float* to = sums[s] + v * Vec::width;
                    Vec sum = fma(by, dot.part[v] * scale.part[v], load(to));
                    if (w.offsets != nullptr) sum = fma(all, offset.part[v], sum);
                    store(to, sum);
                }
            }
        }
        for (int s = 0; s < streams; ++s) finish(p, panel + s * each, {0, 1}, sums[s], panel_rows);
    }
    if constexpr (streams > 1)
        multiply_streams<streams / 2>(p, {panels.begin + each * streams, panels.end}, totals);
}

template <int streams>
inline void multiply_row(const PackedProduct& p, Span panels, int32_t* totals) {
    if constexpr (streams > 0) {
        for (int64_t i = 0; p.weight.bits == 4 && i < p.weight.padded_cols() / step_cols; ++i)
            totals[i] = step_total(p.x.codes + i * step_cols);
        multiply_streams<streams>(p, panels, totals);
    }
}

}  // namespace galago::GALAGO_ISA
