// Products of packed weights with many tokens on AMX: a tile register holds 16 tokens or 16 rows by 64 columns
// of int8 values, or 16 tokens by 16 rows of int32 sums. 64 columns of a panel are a tile as they lie, less the
// 128 that is added to a value; two tiles of tokens are multiplied with two of weights. The sums of a group
// go through memory to become floats, while those of later groups are computed. The order of float sums is that
// of packed.h, so results are the same to the bit. Few tokens are left to packed.h.
#pragma once

// What is left as a call would keep its operands in memory.
#define GALAGO_INLINE __attribute__((always_inline))

namespace galago::GALAGO_ISA {

constexpr int64_t tile_tokens = 16;   // of a register
constexpr int64_t tile_bytes = 1024;  // of a register
constexpr int64_t tile_sums = 256;    // of a register
constexpr int64_t tile_few = 8;       // up to so many tokens are left to packed.h (LOG 2026-11-28)
constexpr int64_t tile_block = 512;   // columns of two panels that stay in the first-level cache
constexpr int pair = 2;               // tiles of tokens, panels and groups that are computed together

// What LDTILECFG reads.
struct alignas(64) TileShapes {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {};
    uint8_t rows[16] = {};
};

// Registers 0 .. 3 hold sums of [token tile][panel], then come those of tokens and of weights.
constexpr int of_tokens = 4, of_weights = 6, registers = 8;

// While this lives, the registers have shapes for `piece` columns at a time; their state is released after,
// so that it costs nothing to save it when threads take turns.
class Tiles {
public:
    explicit Tiles(int64_t piece) {
        TileShapes shapes;
        for (int i = 0; i < registers; ++i) {
            shapes.row_bytes[i] = static_cast<uint16_t>(i >= of_tokens && i < of_weights ? piece : 64);
            shapes.rows[i] = static_cast<uint8_t>(i >= of_weights ? piece / 4 : 16);
        }
        asm volatile("ldtilecfg %0" : : "m"(shapes));
    }
    ~Tiles() { asm volatile("tilerelease"); }
    Tiles(const Tiles&) = delete;
    Tiles& operator=(const Tiles&) = delete;
};

// Written as assembly because GCC 12 does not know that its intrinsics read memory.
template <int tile>
inline void tile_clear() {
    asm volatile("tilezero %%tmm%c0" : : "i"(tile));
}
template <int tile>
inline void tile_load(const void* from, int64_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(tile) : "memory");
}
template <int tile>
inline void tile_store(void* to) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(int64_t{64}), "i"(tile) : "memory");
}
template <int sums, int tokens, int weights>
inline void tile_multiply() {
    asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sums), "i"(tokens), "i"(weights));
}

inline Layout tile_layout(int64_t tokens, int64_t group) {
    if (tokens <= tile_few) return packed_layout(tokens, group);
    return {tile_tokens, group % 64 == 0 ? 64 : 32};
}

inline void quantise_tiles(const Quantise& p, Span tokens, int8_t* scratch) {
    const Activations& out = p.out;
    const auto [most, piece] = out.layout;
    if (piece == 4) return quantise(p, tokens, scratch);
    const int64_t groups = (p.cols + p.group - 1) / p.group, cols = groups * p.group;
    for (int64_t t = tokens.begin; t < tokens.end; ++t) {
        for (int64_t g = 0; g < groups; ++g) quantise_group(p, t, g, scratch + g * p.group);
        int8_t* to = out.codes + t / most * most * cols + t % most * piece;
        for (int64_t k = 0; k < cols; k += piece, to += most * piece)
            for (int64_t i = 0; i < piece; i += 32) __builtin_memcpy(to + i, scratch + k + i, 32);
    }
}

// Integer sums of a group for two tiles of tokens and some panels. They are computed in registers, stored
// while the next are computed, and become floats while those after the next are computed: the three take
// different parts of a core.
struct Dots {
    int64_t panel, token, tokens, group;  // no tokens: there are none
};

struct TileWork {
    const PackedProduct& p;
    int64_t groups;
    uint8_t* codes;  // signed values of a block: [panels][columns / 4][16][4]
    float* sums;     // [tokens][panels][16]
    int32_t *stored, *storing;  // [token tile][panel][16][16], of `waiting` and for `computed`
    Dots computed, waiting;
};

constexpr int64_t dots_bytes = int64_t{pair} * pair * tile_bytes;

inline int64_t tile_columns(const PackedProduct& p) {
    const int64_t groups = tile_block / p.weight.group;
    return groups < 1 ? p.weight.group : groups * p.weight.group;
}

inline int64_t tile_scratch(const PackedProduct& p) {
    if (p.x.layout.piece == 4) return packed_scratch(p);
    const int64_t sums = p.x.tokens * pair * panel_rows * static_cast<int64_t>(sizeof(float));
    return tile_columns(p) * panel_rows * pair + 2 * dots_bytes + sums;
}

// The values of a block of columns as signed bytes.
inline void to_signed(const PackedMatrix& w, int64_t panel, int64_t first, int64_t cols, uint8_t* to) {
    const uint8_t* from = w.codes + panel * w.panel_bytes() + first * panel_rows * w.bits / 8;
    if (w.bits == 4) {
        const int64_t step = (panel * w.padded_cols() + first) / step_cols;
        return expand<0>(from, w.steps + step * panel_rows, cols / step_cols, to);
    }
    const __m512i sign = _mm512_set1_epi8(-128);
    for (int64_t i = 0; i < cols * panel_rows; i += 64)
        _mm512_storeu_si512(to + i, _mm512_xor_si512(_mm512_loadu_si512(from + i), sign));
}

// Makes floats of stored sums and adds them to those of earlier groups; after the last group the result is
// written. Holds what a loop needs: a store of a vector may change anything, and it would be read again.
template <int panels, bool first, bool last, bool offsets>
class Settle {
public:
    GALAGO_INLINE Settle(const TileWork& work, const Dots& of, const int32_t* dots, int64_t tile)
        : dots_(dots + tile * panels * tile_sums) {
        const PackedProduct& p = work.p;
        const int64_t n = of.panel * panel_rows, token = of.token + tile * tile_tokens;
        steps_ = p.x.scales + of.group * p.x.tokens + token;
        balances_ = p.x.balances + of.group * p.x.tokens + token;
        sums_ = work.sums + token * panels * panel_rows;
        to_ = last ? Rows<float>{p.y[token] + n, p.y.stride} : Rows<float>{sums_, panels * panel_rows};
        if (last && p.residual.data != nullptr) more_ = {p.residual[token] + n, p.residual.stride};
#pragma GCC unroll 2
        for (int i = 0; i < panels; ++i) {
            const int64_t place = ((of.panel + i) * work.groups + of.group) * panel_rows;
            const int64_t rows = p.weight.rows - n - i * panel_rows;
            scale_[i] = load_f16(p.weight.scales + place).part[0];
            if constexpr (offsets) offset_[i] = load_f16(p.weight.offsets + place).part[0];
            rows_[i] = rows < panel_rows ? rows : panel_rows;
            if constexpr (last)
                bias_[i] = p.bias == nullptr ? zero() : load(p.bias + n + i * panel_rows, rows_[i]);
        }
    }

    // Tokens begin .. begin + count of the tile.
    GALAGO_INLINE void operator()(int64_t begin, int64_t count) const {
        for (int64_t t = begin; t < begin + count; ++t) {
            const int32_t* dots = dots_ + t * panel_rows;
            const float step = steps_[t];
            float* to = to_[t];
            Vec all;
            if constexpr (offsets) all = splat(step * (static_cast<float>(balances_[t]) * (-1.0F / 128)));
#pragma GCC unroll 2
            for (int i = 0; i < panels; ++i) {
                const PanelSums dot{_mm512_loadu_si512(dots + i * tile_sums)};
                const Vec before = first ? zero() : load(sums_ + (t * panels + i) * panel_rows);
                Vec sum = fma(splat(step), to_floats(dot).part[0] * scale_[i], before);
                if constexpr (offsets) sum = fma(all, offset_[i], sum);
                if constexpr (last) {
                    sum = sum + bias_[i];
                    if (more_.data != nullptr) sum = sum + load(more_[t] + i * panel_rows, rows_[i]);
                    store(to + i * panel_rows, sum, rows_[i]);
                } else {
                    store(to + i * panel_rows, sum);
                }
            }
        }
    }

private:
    const int32_t* dots_;
    const float* steps_;
    const int32_t* balances_;
    float* sums_;
    Rows<float> to_;
    Rows<const float> more_{};
    Vec scale_[panels], offset_[panels], bias_[panels];
    int64_t rows_[panels];
};

// Makes floats of one tile of tokens, or of what there is of it.
template <int panels, bool offsets>
inline void settle_tile(const TileWork& work, const Dots& of, const int32_t* dots, int64_t tile) {
    const int64_t left = of.tokens - tile * tile_tokens, count = left < tile_tokens ? left : tile_tokens;
    const bool first = of.group == 0, last = of.group + 1 == work.groups;
    if (first && last) return Settle<panels, true, true, offsets>(work, of, dots, tile)(0, count);
    if (first) return Settle<panels, true, false, offsets>(work, of, dots, tile)(0, count);
    if (last) return Settle<panels, false, true, offsets>(work, of, dots, tile)(0, count);
    Settle<panels, false, false, offsets>(work, of, dots, tile)(0, count);
}

// Where the operands of a group are: its first tiles, and how far the second are from them.
struct Operands {
    const int8_t* x;
    const uint8_t* codes;
    int64_t next_tile, next_panel;
    int64_t group, piece;

    Operands at(int64_t k) const {
        return {x + k * tile_tokens, codes + k * panel_rows, next_tile, next_panel, group, piece};
    }
};

// One group of some tiles of tokens and panels, from the beginning to the end.
template <int tiles, int panels>
inline void one_group(const TileWork& work, const Operands& all, const Dots& of) {
    tile_clear<0>(), tile_clear<1>(), tile_clear<2>(), tile_clear<3>();
    for (int64_t k = 0; k < all.group; k += all.piece) {
        const Operands now = all.at(k);
        tile_load<4>(now.x, now.piece);
        tile_load<6>(now.codes, 64);
        tile_multiply<0, 4, 6>();
        if constexpr (panels > 1) {
            tile_load<7>(now.codes + now.next_panel, 64);
            tile_multiply<1, 4, 7>();
        }
        if constexpr (tiles > 1) {
            tile_load<5>(now.x + now.next_tile, now.piece);
            tile_multiply<2, 5, 6>();
            if constexpr (panels > 1) tile_multiply<3, 5, 7>();
        }
    }
    tile_store<0>(work.storing);
    if constexpr (panels > 1) tile_store<1>(work.storing + tile_sums);
    if constexpr (tiles > 1) tile_store<2>(work.storing + panels * tile_sums);
    if constexpr (tiles > 1 && panels > 1) tile_store<3>(work.storing + 3 * tile_sums);
    for (int64_t tile = 0; tile < tiles; ++tile) {
        if (work.p.weight.offsets != nullptr) {
            settle_tile<panels, true>(work, of, work.storing, tile);
        } else {
            settle_tile<panels, false>(work, of, work.storing, tile);
        }
    }
}

// A product of two tiles and two, first storing the sums of the group before. After each multiplication comes
// a part of other work, `rest(i)`: only a few operations on tiles are looked ahead for, so work that stands
// further away does not begin while they wait.
template <bool storing, class F>
GALAGO_INLINE inline void product_of_tiles(const Operands& now, int32_t* to, const F& rest) {
    tile_load<6>(now.codes, 64);
    tile_load<4>(now.x, now.piece);
    if constexpr (storing) tile_store<0>(to), tile_clear<0>();
    tile_multiply<0, 4, 6>();
    rest(0);
    tile_load<7>(now.codes + now.next_panel, 64);
    if constexpr (storing) tile_store<1>(to + tile_sums), tile_clear<1>();
    tile_multiply<1, 4, 7>();
    rest(1);
    tile_load<5>(now.x + now.next_tile, now.piece);
    if constexpr (storing) tile_store<2>(to + 2 * tile_sums), tile_clear<2>();
    tile_multiply<2, 5, 6>();
    rest(2);
    if constexpr (storing) tile_store<3>(to + 3 * tile_sums), tile_clear<3>();
    tile_multiply<3, 5, 7>();
    rest(3);
}

// A group of two whole tiles of tokens and two panels. Meanwhile the sums of the one before are stored in
// `to`, and first(token, count) and second(token, count) are called for all tokens of a tile.
template <class F>
GALAGO_INLINE inline void product_beside(const Operands& all, int32_t* to, const F& first, const F& second) {
    if (all.group == all.piece) {
        constexpr int64_t some = tile_tokens / 2;
        product_of_tiles<true>(all, to, [&](int i) GALAGO_INLINE {
            (i < 2 ? first : second)(i % 2 * some, some);
        });
        return;
    }
    constexpr int64_t some = tile_tokens / 4;
    product_of_tiles<true>(all, to, [&](int i) GALAGO_INLINE { first(i * some, some); });
    product_of_tiles<false>(all.at(all.piece), to, [&](int i) GALAGO_INLINE { second(i * some, some); });
    for (int64_t k = 2 * all.piece; k < all.group; k += all.piece)
        product_of_tiles<false>(all.at(k), to, [](int) {});
}

template <bool first, bool last>
inline void next_group(const TileWork& work, const Operands& all) {
    using One = Settle<pair, first, last, false>;
    product_beside(
        all, work.storing, One(work, work.waiting, work.stored, 0), One(work, work.waiting, work.stored, 1)
    );
}

// A group, while that before is stored and that before it becomes floats.
inline void next_group(TileWork& work, const Operands& all, const Dots& of) {
    const auto nothing = [](int64_t, int64_t) {};
    const bool first = work.waiting.group == 0, last = work.waiting.group + 1 == work.groups;
    if (work.waiting.tokens == 0) {
        product_beside(all, work.storing, nothing, nothing);
    } else if (first && last) {
        next_group<true, true>(work, all);
    } else if (first) {
        next_group<true, false>(work, all);
    } else if (last) {
        next_group<false, true>(work, all);
    } else {
        next_group<false, false>(work, all);
    }
    int32_t* free = work.stored;
    work.stored = work.storing;
    work.storing = free;
    work.waiting = work.computed;
    work.computed = of;
}

// What next_group has not finished.
inline void drain(TileWork& work) {
    for (int64_t tile = 0; tile < pair && work.waiting.tokens > 0; ++tile)
        settle_tile<pair, false>(work, work.waiting, work.stored, tile);
    if (work.computed.tokens > 0) {
        tile_store<0>(work.storing), tile_store<1>(work.storing + tile_sums);
        tile_store<2>(work.storing + 2 * tile_sums), tile_store<3>(work.storing + 3 * tile_sums);
    }
    for (int64_t tile = 0; tile < pair && work.computed.tokens > 0; ++tile)
        settle_tile<pair, false>(work, work.computed, work.storing, tile);
    work.waiting = work.computed = {};
}

// Two tiles of tokens from `start` on, or what there is of them, times a block of groups.
template <int panels>
inline void tiles_times(TileWork& work, int64_t panel, int64_t start, Span groups) {
    const PackedProduct& p = work.p;
    const PackedMatrix& w = p.weight;
    const int64_t cols = w.padded_cols(), left = p.x.tokens - start;
    const int64_t tokens = left < pair * tile_tokens ? left : pair * tile_tokens;
    const bool pipelined = panels == pair && tokens == pair * tile_tokens && w.offsets == nullptr;
    Operands now{p.x.codes + start * cols + groups.begin * w.group * tile_tokens,
                 work.codes,
                 tile_tokens * cols,
                 tile_columns(p) * panel_rows,
                 w.group,
                 p.x.layout.piece};
    if (!pipelined) drain(work);
    for (int64_t g = groups.begin; g < groups.end; ++g, now = now.at(w.group)) {
        const Dots of{panel, start, tokens, g};
        if (pipelined) {
            next_group(work, now, of);
        } else if (tokens > tile_tokens) {
            one_group<pair, panels>(work, now, of);
        } else {
            one_group<1, panels>(work, now, of);
        }
    }
}

// Some panels, `panels` at a time, times all tokens.
template <int panels>
inline void panels_times_tiles(TileWork& work, Span all) {
    const PackedProduct& p = work.p;
    const PackedMatrix& w = p.weight;
    const int64_t block = tile_columns(p) / w.group, step = pair * tile_tokens;
    const int64_t steps = (p.x.tokens + step - 1) / step;
    for (int64_t panel = all.begin; panel < all.end; panel += panels) {
        for (int64_t g = 0; g < work.groups; g += block) {
            const Span part{g, g + block < work.groups ? g + block : work.groups};
            const int64_t first = g * w.group, cols = (part.end - g) * w.group;
            const int64_t bytes = cols * panel_rows * w.bits / 8;
            const uint8_t* stored[panels];
            for (int i = 0; i < panels; ++i) {
                stored[i] = w.codes + (panel + i) * w.panel_bytes() + first * panel_rows * w.bits / 8;
                to_signed(w, panel + i, first, cols, work.codes + i * tile_columns(p) * panel_rows);
            }
            for (int64_t at = 0; at < steps; ++at) {
                for (int i = 0; i < panels; ++i) fetch_ahead(stored[i], bytes, at, steps);
                const int64_t start = at * step, end = start + step < p.x.tokens ? start + step : p.x.tokens;
                if (part.end == work.groups)
                    for (int64_t t = start; t < end; ++t)
                        for (int i = 0; i < panels; ++i) expect(p, t, (panel + i) * panel_rows);
                tiles_times<panels>(work, panel, start, part);
            }
        }
    }
    drain(work);
}

inline void linear_tiles(const PackedProduct& p, Span panels, void* scratch) {
    if (p.x.layout.piece == 4) return linear_packed<row_streams>(p, panels, scratch);
    auto* memory = static_cast<uint8_t*>(scratch);
    uint8_t* dots = memory + tile_columns(p) * panel_rows * pair;
    TileWork work{p,
                  p.weight.groups(),
                  memory,
                  reinterpret_cast<float*>(dots + 2 * dots_bytes),
                  reinterpret_cast<int32_t*>(dots),
                  reinterpret_cast<int32_t*>(dots + dots_bytes),
                  {},
                  {}};
    const Tiles tiles(p.x.layout.piece);
    const int64_t even = panels.begin + (panels.end - panels.begin) / pair * pair;
    panels_times_tiles<pair>(work, {panels.begin, even});
    panels_times_tiles<1>(work, {even, panels.end});
}

constexpr int peak_tiles = 6;
constexpr int64_t peak_tile_madds = int64_t{peak_tiles} * 16 * 16 * 64;

// The most that registers alone allow.
inline double peak_of_tiles(int64_t rounds, float factor) {
    alignas(64) int8_t bytes[tile_bytes];
    alignas(64) int32_t sums[256];
    for (int8_t& byte : bytes) byte = static_cast<int8_t>(factor);
    const Tiles tiles(64);
    tile_clear<0>(), tile_clear<1>(), tile_clear<2>(), tile_clear<3>(), tile_clear<4>(), tile_clear<5>();
    tile_load<6>(bytes, 64);
    tile_load<7>(bytes, 64);
    for (int64_t round = 0; round < rounds; ++round) {
        tile_multiply<0, 6, 7>(), tile_multiply<1, 6, 7>(), tile_multiply<2, 6, 7>();
        tile_multiply<3, 6, 7>(), tile_multiply<4, 6, 7>(), tile_multiply<5, 6, 7>();
    }
    double all = 0;
    const auto add = [&] {
        for (const int32_t sum : sums) all += sum;
    };
    tile_store<0>(sums), add(), tile_store<1>(sums), add(), tile_store<2>(sums), add();
    tile_store<3>(sums), add(), tile_store<4>(sums), add(), tile_store<5>(sums), add();
    return all;
}

}  // namespace galago::GALAGO_ISA
