// Products with packed weights: activations rounded to int8 once, integer dot products of each group, float
// sums. A trait gives the register tile, packed_panels by packed_tokens, and on 16 rows of a panel: PanelSums
// with begin (what sums of its bytes start from), add_dots (a group of columns) and to_floats; load_f16; and
// expand, which makes bytes of the nibbles. Where few_in_registers, up to packed_few tokens meet the codes as
// they lie: add_expanded, and add_dots that fetches ahead.
#pragma once

#include "packed_row.h"

namespace galago::GALAGO_ISA {

// Rounds `count` values, at most a group, to int8 in `codes`, zeros after them.
inline void quantise_group(
    const float* x, int64_t count, int64_t group, int8_t* codes, float* scale, int32_t* balance
) {
    Vec peak = zero();
    for (int64_t i = 0; i < count; i += Vec::width) {
        const Vec v = count - i >= Vec::width ? load(x + i) : load(x + i, count - i);
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
            const Vec v = n >= Vec::width ? load(x + i) : n > 0 ? load(x + i, n) : zero();
            const Words words = to_words(v * inverse);
            store_int8(codes + i, words);
            total = total + words;
        }
    } else {
        __builtin_memset(codes, 0, static_cast<size_t>(group));
    }
    *scale = !finite ? __builtin_nanf("") : used ? high / 127.0F : 0.0F;
    *balance = -128 * sum(total);
}

// Rounds group g of token t to `codes`.
inline void quantise_group(const Quantise& p, int64_t t, int64_t g, int8_t* codes) {
    const int64_t first = g * p.group, left = p.cols - first, at = g * p.out.tokens + t;
    for (int64_t i = p.group; i < 2 * p.group; i += 16) __builtin_prefetch(p.x[t] + first + i);
    quantise_group(
        p.x[t] + first, left < p.group ? left : p.group, p.group, codes, p.out.scales + at, p.out.balances + at
    );
}

// Tiles of about equal size.
inline Layout packed_layout(int64_t tokens, int64_t) {
    const int64_t tiles = (tokens + packed_tokens - 1) / packed_tokens;
    return {tiles == 0 ? 1 : (tokens + tiles - 1) / tiles, 4};
}

// `tokens` begins at a tile. Group by group, because a tile of many columns does not stay in the first-level
// cache; each goes through `scratch` to its place between the other tokens of its tile.
inline void quantise(const Quantise& p, Span tokens, int8_t* scratch) {
    const Activations& out = p.out;
    const int64_t groups = (p.cols + p.group - 1) / p.group, cols = groups * p.group;
    int64_t beside = 0;
    for (int64_t start = tokens.begin; start < tokens.end; start += beside) {
        beside = out.tokens - start < out.layout.tile ? out.tokens - start : out.layout.tile;
        int8_t* to = out.codes + start * cols;
        for (int64_t g = 0; g < groups; ++g, to += p.group * beside) {
            if (beside == 1) {
                quantise_group(p, start, g, to);
                continue;
            }
            for (int64_t i = 0; i < beside; ++i) {
                quantise_group(p, start + i, g, scratch);
                for (int64_t quad = 0; quad < p.group / 4; ++quad)
                    __builtin_memcpy(to + (quad * beside + i) * 4, scratch + quad * 4, 4);
            }
        }
    }
}

// Columns of the panels that are multiplied with all tokens before the next: they should stay in the
// first-level cache, beside a tile of activations.
constexpr int64_t packed_block = 512;

// Up to so many tokens, weights come straight from memory once.
constexpr int64_t packed_few = 8;

// Where the codes of a whole panel are multiplied as they lie, without a stop.
inline bool reads_on(const PackedProduct& p) { return few_in_registers && p.x.tokens <= packed_few; }

// Instruction sets without few_in_registers do not define this.
template <int panels, int tokens>
void add_expanded(
    const uint8_t* const* codes, const uint8_t* steps, int64_t steps_apart, const int8_t* x, int64_t count,
    PanelSums (*sums)[panels]
);

// What a part of a product works on: bytes of value + 128 of some panels, which lie `apart`, and the sums of all
// tokens so far.
struct PackedWork {
    const PackedProduct& p;
    int64_t apart;
    const uint8_t* codes[packed_panels];
    uint8_t* expanded;
    float* sums;  // [tokens][panels][16]
};

inline int64_t columns_at_once(const PackedProduct& p) {
    if (reads_on(p)) return p.weight.padded_cols();
    const int64_t groups = packed_block / p.weight.group;
    return groups < 1 || p.x.tokens <= packed_few ? p.weight.group : groups * p.weight.group;
}

// Bytes that a part expands at a time.
inline int64_t code_scratch(const PackedProduct& p) {
    return p.weight.bits == 8 || reads_on(p) ? 0 : columns_at_once(p) * panel_rows * packed_panels;
}

inline int64_t packed_scratch(const PackedProduct& p) {
    if (takes_row(p)) return row_scratch(p);
    return code_scratch(p) + p.x.tokens * packed_panels * panel_rows * static_cast<int64_t>(sizeof(float));
}

// How the codes of a block are met: bytes in the cache, or straight from memory, bytes or nibbles.
enum class Codes { cached, bytes, nibbles };

// sums += the panels times the `tokens` tokens of a tile, over the groups of a block.
template <Codes kind, int panels, int tokens>
inline void panels_times_tile(const PackedWork& work, int64_t panel, int64_t start, Span groups) {
    const PackedProduct& p = work.p;
    const PackedMatrix w = p.weight;  // copies, which the stores cannot change
    const Activations rounded = p.x;
    const int64_t all_groups = w.groups(), group_steps = w.group / step_cols;
    const int8_t* x = rounded.codes + start * w.padded_cols() + groups.begin * w.group * tokens;
    const uint8_t* codes[panels];
    for (int i = 0; i < panels; ++i) codes[i] = work.codes[i];
    float* sums = work.sums + start * panels * panel_rows;
    const int64_t group_bytes = w.group * panel_rows / (kind == Codes::nibbles ? 2 : 1);
    for (int64_t g = groups.begin; g < groups.end; ++g, x += w.group * tokens) {
        const int64_t of_tokens = g * rounded.tokens + start;
        PanelSums dots[tokens][panels];
        for (int t = 0; t < tokens; ++t)
            for (int i = 0; i < panels; ++i) begin(dots[t][i], rounded.balances[of_tokens + t]);
        if constexpr (kind == Codes::nibbles) {
            const int64_t at = (panel * all_groups + g) * group_steps * panel_rows;
            const int64_t apart = work.apart * all_groups * group_steps * panel_rows;
            add_expanded<panels, tokens>(codes, w.steps + at, apart, x, group_steps, dots);
        } else if constexpr (kind == Codes::bytes) {
            add_dots<panels, tokens, true>(codes, x, w.group / 4, dots);
        } else {
            add_dots<panels, tokens>(codes, x, w.group / 4, dots);
        }
        PanelFloats scale[panels];
        for (int i = 0; i < panels; ++i) {
            codes[i] += group_bytes;
            scale[i] = load_f16(w.scales + ((panel + i * work.apart) * all_groups + g) * panel_rows);
        }
        for (int t = 0; t < tokens; ++t) {
            const Vec step = splat(rounded.scales[of_tokens + t]);
            for (int i = 0; i < panels; ++i) {
                const PanelFloats dot = to_floats(dots[t][i]);
                for (int v = 0; v < PanelFloats::vectors; ++v) {
                    float* to = sums + (t * panels + i) * panel_rows + v * Vec::width;
                    const Vec before = g == 0 ? zero() : load(to);
                    store(to, fma(step, dot.part[v] * scale[i].part[v], before));
                }
            }
        }
        if (w.offsets == nullptr) continue;
        for (int i = 0; i < panels; ++i) {
            const int64_t at = ((panel + i * work.apart) * all_groups + g) * panel_rows;
            const PanelFloats offset = load_f16(w.offsets + at);
            for (int t = 0; t < tokens; ++t) {
                const auto total = static_cast<float>(rounded.balances[of_tokens + t]) * (-1.0F / 128);
                const Vec all = splat(rounded.scales[of_tokens + t] * total);
                for (int v = 0; v < PanelFloats::vectors; ++v) {
                    float* to = sums + (t * panels + i) * panel_rows + v * Vec::width;
                    store(to, fma(all, offset.part[v], load(to)));
                }
            }
        }
    }
}

template <Codes kind, int panels, int tokens>
inline void panels_times(const PackedWork& work, int64_t panel, int64_t start, int64_t count, Span groups) {
    if (count == tokens) {
        panels_times_tile<kind, panels, tokens>(work, panel, start, groups);
    } else if constexpr (tokens > 1) {
        panels_times<kind, panels, tokens - 1>(work, panel, start, count, groups);
    }
}

template <int panels>
inline void panels_times(const PackedWork& work, int64_t panel, Span tokens, Span groups) {
    const int64_t count = tokens.end - tokens.begin;
    if constexpr (few_in_registers) {
        const auto times = work.p.weight.bits == 4 ? panels_times<Codes::nibbles, panels, packed_few>
                                                   : panels_times<Codes::bytes, panels, packed_few>;
        if (reads_on(work.p)) return times(work, panel, tokens.begin, count, groups);
    }
    panels_times<Codes::cached, panels, packed_tokens>(work, panel, tokens.begin, count, groups);
}

// Fetches the line that token t's elements of a panel will be written to, from n on, and what is added to them.
// Stores end in the order they were made, and one that waits for memory would hold up all the sums behind it (LOG
// 2026-11-25). Not into the first level, which is full of weights (LOG 2026-11-29).
inline void expect(const PackedProduct& p, int64_t t, int64_t n) {
    constexpr int second_level = 2;
    __builtin_prefetch(p.y[t] + n, 1, second_level);
    if (p.residual.data != nullptr) __builtin_prefetch(p.residual[t] + n, 0, second_level);
}

// Fetches, while one of the tiles is computed, its share of the codes that come after a block.
inline void fetch_ahead(const uint8_t* block, int64_t bytes, int64_t tile, int64_t tiles) {
    constexpr int64_t least = 4096;  // bytes that memory delivers in its own latency, and some more
    const uint8_t* next = block + (bytes < least ? least : bytes);
    for (int64_t i = bytes * tile / tiles; i < bytes * (tile + 1) / tiles; i += 64)
        __builtin_prefetch(next + i);
}

template <int panels>
inline void multiply_panels(PackedWork& work, int64_t panel) {
    const PackedProduct& p = work.p;
    const PackedMatrix& w = p.weight;
    const int64_t groups = w.groups(), block = columns_at_once(p) / w.group;
    const int64_t tiles = (p.x.tokens + p.x.layout.tile - 1) / p.x.layout.tile;
    for (int64_t g = 0; g < groups; g += block) {
        const Span part{g, g + block < groups ? g + block : groups};
        const int64_t first = part.begin * w.group, cols = (part.end - part.begin) * w.group;
        const int64_t bytes = cols * panel_rows * w.bits / 8;
        const uint8_t* codes[panels];
        for (int i = 0; i < panels; ++i) {
            const int64_t one = panel + i * work.apart;
            codes[i] = w.codes + one * w.panel_bytes() + first * panel_rows * w.bits / 8;
            work.codes[i] = codes[i];
            if (w.bits == 8 || reads_on(p)) continue;
            uint8_t* to = work.expanded + i * columns_at_once(p) * panel_rows;
            const int64_t steps = one * (w.padded_cols() / step_cols) + first / step_cols;
            expand(codes[i], w.steps + steps * panel_rows, cols / step_cols, to);
            work.codes[i] = to;
        }
        for (int64_t tile = 0; tile < tiles; ++tile) {
            const int64_t start = tile * p.x.layout.tile, left = p.x.tokens - start;
            const Span tokens{start, left < p.x.layout.tile ? p.x.tokens : start + p.x.layout.tile};
            for (int i = 0; i < panels && !reads_on(p); ++i) fetch_ahead(codes[i], bytes, tile, tiles);
            if (part.end == groups)
                for (int64_t t = start; t < tokens.end; ++t)
                    for (int i = 0; i < panels; ++i) expect(p, t, (panel + i * work.apart) * panel_rows);
            panels_times<panels>(work, panel, tokens, part);
            if (part.end < groups) continue;
            for (int i = 0; i < panels; ++i)
                finish(p, panel + i * work.apart, tokens, work.sums + i * panel_rows, panels * panel_rows);
        }
    }
}

template <int streams>
inline void linear_packed(const PackedProduct& p, Span panels, void* scratch) {
    if (takes_row(p)) return multiply_row<streams>(p, panels, static_cast<int32_t*>(scratch));
    auto* memory = static_cast<uint8_t*>(scratch);
    PackedWork work{p, 1, {}, memory, reinterpret_cast<float*>(memory + code_scratch(p))};
    int64_t panel = panels.begin;
    if (reads_on(p)) {  // from as many places, each in its order: what is fetched ahead is what comes next
        work.apart = (panels.end - panels.begin) / packed_panels;
        for (; panel < panels.begin + work.apart; ++panel) multiply_panels<packed_panels>(work, panel);
        panel += (packed_panels - 1) * work.apart;
    } else if (p.x.tokens > packed_few || few_in_registers) {
        for (; panel + packed_panels <= panels.end; panel += packed_panels)
            multiply_panels<packed_panels>(work, panel);
    }
    for (; panel < panels.end; ++panel) multiply_panels<1>(work, panel);
}

}  // namespace galago::GALAGO_ISA
