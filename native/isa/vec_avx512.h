// The vector trait on AVX-512: 16 floats, and int8 dot products by VNNI.
#pragma once

#if defined(__GNUC__) && !defined(__clang__)
// The AVX-512 headers of GCC 12 start from variables that they leave uninitialised on purpose.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include "kernels.h"
#include "row_x86.h"

namespace galago::GALAGO_ISA {

struct Vec {
    static constexpr int width = 16;
    __m512 v;
};

// Register tiles: rows times vectors of sums, with room for their factors.
constexpr int tile_rows = 12, tile_vectors = 2;  // outer products
constexpr int dot_tokens = 4, dot_rows = 4;      // dot products
constexpr int packed_tokens = 12, packed_panels = 2;  // int8 dot products
constexpr int row_streams = 8;                          // places where weights are read for one token
constexpr bool few_in_registers = true;

inline __mmask16 first(int64_t n) { return static_cast<__mmask16>((1U << n) - 1U); }

inline Vec splat(float x) { return {_mm512_set1_ps(x)}; }
inline Vec zero() { return {_mm512_setzero_ps()}; }
inline Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline Vec load(const float* p, int64_t n) { return {_mm512_maskz_loadu_ps(first(n), p)}; }
inline void store(float* p, Vec a) { _mm512_storeu_ps(p, a.v); }
inline void store(float* p, Vec a, int64_t n) { _mm512_mask_storeu_ps(p, first(n), a.v); }

// Weights as they are stored -> floats.
inline Vec widen(const float* p) { return load(p); }
inline Vec widen(const float* p, int64_t n) { return load(p, n); }
inline Vec from_bf16(__m256i halves) {
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16))};
}
inline Vec widen(const uint16_t* p) {
    return from_bf16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline Vec widen(const uint16_t* p, int64_t n) { return from_bf16(_mm256_maskz_loadu_epi16(first(n), p)); }

inline Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }         // a b + c
inline Vec fma_minus(Vec a, Vec b, Vec c) { return {_mm512_fnmadd_ps(a.v, b.v, c.v)}; }  // c - a b
inline Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }                       // b if either is NaN
inline Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }                       // b if either is NaN
inline Vec round(Vec a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
inline Vec absolute(Vec a) { return {_mm512_abs_ps(a.v)}; }
inline Vec if_negative(Vec x, Vec then, Vec otherwise) {
    return {
        _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x.v, _mm512_setzero_ps(), _CMP_LT_OQ), otherwise.v, then.v)
    };
}
inline float sum(Vec a) { return _mm512_reduce_add_ps(a.v); }
// The sums of four vectors, side by side.
inline void store_sums(float* p, Vec a, Vec b, Vec c, Vec d) {
    const auto halve = [](Vec x) {
        return _mm256_add_ps(_mm512_castps512_ps256(x.v), _mm512_extractf32x8_ps(x.v, 1));
    };
    const __m256 pairs =
        _mm256_hadd_ps(_mm256_hadd_ps(halve(a), halve(b)), _mm256_hadd_ps(halve(c), halve(d)));
    _mm_storeu_ps(p, _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1)));
}

#if defined(__AVX512BF16__)
// Floats rounded to bfloat16, two of them as one: those of two vectors side by side, or one after the other.
inline Vec pairs_along(Vec low, Vec high) {
    return {_mm512_castsi512_ps(reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high.v, low.v)))};
}
inline Vec pairs_of(Vec even, Vec odd) {
    const __m512i order = _mm512_set_epi16(
        31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2,
        17, 1, 16, 0
    );
    return {
        _mm512_castsi512_ps(_mm512_permutexvar_epi16(order, _mm512_castps_si512(pairs_along(even, odd).v)))
    };
}
inline Vec add_pairs(Vec a, Vec b, Vec sum) {
    return {_mm512_dpbf16_ps(sum.v, reinterpret_cast<__m512bh>(a.v), reinterpret_cast<__m512bh>(b.v))};
}
#endif

// a 2^n for an integral n; what is too small becomes denormal or 0, what is too large infinite.
inline Vec times_power_of_two(Vec a, Vec n) { return {_mm512_scalef_ps(a.v, n.v)}; }

// The larger of two non-negative floats, infinity above all numbers and NaN above infinity.
inline Vec max_with_nan(Vec a, Vec b) {
    return {_mm512_castsi512_ps(_mm512_max_epi32(_mm512_castps_si512(a.v), _mm512_castps_si512(b.v)))};
}
inline uint32_t largest_bits(Vec a) {
    return static_cast<uint32_t>(_mm512_reduce_max_epi32(_mm512_castps_si512(a.v)));
}

// `width` int32.
struct Words {
    __m512i v;
};
inline Words to_words(Vec a) { return {_mm512_cvtps_epi32(a.v)}; }  // to nearest even
inline Words operator+(Words a, Words b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline int sum(Words a) { return _mm512_reduce_add_epi32(a.v); }
inline void store_int8(int8_t* p, Words a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a.v));
}

// to[j * stride + i] = from[i][j] for a square of `width`.
inline void transpose(const Vec* from, float* to, int64_t stride) {
    __m512 a[16], b[16];
    for (int i = 0; i < 16; i += 2) {
        a[i] = _mm512_unpacklo_ps(from[i].v, from[i + 1].v);
        a[i + 1] = _mm512_unpackhi_ps(from[i].v, from[i + 1].v);
    }
    for (int i = 0; i < 16; i += 4) {
        for (int j = 0; j < 2; ++j) {
            b[i + 2 * j] = _mm512_castpd_ps(
                _mm512_unpacklo_pd(_mm512_castps_pd(a[i + j]), _mm512_castps_pd(a[i + j + 2]))
            );
            b[i + 2 * j + 1] = _mm512_castpd_ps(
                _mm512_unpackhi_pd(_mm512_castps_pd(a[i + j]), _mm512_castps_pd(a[i + j + 2]))
            );
        }
    }
    // b[4 r + c] holds column c of each 4x4 square of rows 4 r .. 4 r + 3; now the squares change places.
    for (int c = 0; c < 4; ++c) {
        const __m512 low = _mm512_shuffle_f32x4(b[c], b[4 + c], 0x88),
                     high = _mm512_shuffle_f32x4(b[c], b[4 + c], 0xdd);
        const __m512 low2 = _mm512_shuffle_f32x4(b[8 + c], b[12 + c], 0x88);
        const __m512 high2 = _mm512_shuffle_f32x4(b[8 + c], b[12 + c], 0xdd);
        _mm512_storeu_ps(to + c * stride, _mm512_shuffle_f32x4(low, low2, 0x88));
        _mm512_storeu_ps(to + (8 + c) * stride, _mm512_shuffle_f32x4(low, low2, 0xdd));
        _mm512_storeu_ps(to + (4 + c) * stride, _mm512_shuffle_f32x4(high, high2, 0x88));
        _mm512_storeu_ps(to + (12 + c) * stride, _mm512_shuffle_f32x4(high, high2, 0xdd));
    }
}

// 16 float16 of a panel -> floats.
struct PanelFloats {
    static constexpr int vectors = 1;
    Vec part[vectors];
};
inline PanelFloats load_f16(const uint16_t* p) {
    return {{{_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))}}};
}

// 16 int32 sums of a panel.
struct PanelSums {
    __m512i v;
};
inline void begin(PanelSums& s, int32_t balance) { s.v = _mm512_set1_epi32(balance); }
inline PanelFloats to_floats(PanelSums s) { return {{{_mm512_cvtepi32_ps(s.v)}}}; }

// sums += codes times four activations, in every row. Written as assembly because GCC 12 makes register moves
// around the intrinsic.
inline void add_quad(__m512i& sums, __m512i codes, __m512i x) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(codes), "v"(x));
}

inline void add_quad(__m512i& sums, __m512i codes, const int8_t* x) {
    int four;
    __builtin_memcpy(&four, x, sizeof four);
    add_quad(sums, codes, _mm512_set1_epi32(four));
}

// sums[t][i] += the bytes of panel i times the activations of token t, which start at x + 4 t, a quad each
// 4 `tokens`. Less than one tile's sums would wait for each other: then quads go to several in turn. `ahead`:
// the bytes come from memory.
template <int panels, int tokens, bool ahead = tokens == 1>
inline void add_dots(const uint8_t* const* codes, const int8_t* x, int64_t quads, PanelSums (*sums)[panels]) {
    constexpr int ways = panels * tokens >= 8 ? 1 : panels * tokens >= 3 ? 2 : 4;
    __m512i dots[ways][tokens][panels];
    // Every loop over the sums is unrolled, or they would live in memory.
#pragma GCC unroll 4
    for (int way = 0; way < ways; ++way)
#pragma GCC unroll 16
        for (int t = 0; t < tokens; ++t)
#pragma GCC unroll 8
            for (int i = 0; i < panels; ++i)
                dots[way][t][i] = way == 0 ? sums[t][i].v : _mm512_setzero_si512();
    for (int64_t quad = 0; quad < quads; quad += ways) {
#pragma GCC unroll 4
        for (int way = 0; way < ways; ++way) {
            __m512i w[panels];
#pragma GCC unroll 8
            for (int i = 0; i < panels; ++i) {
                const uint8_t* from = codes[i] + (quad + way) * 64;
                if constexpr (ahead) fetch_row<panels, tokens>(from);
                w[i] = _mm512_loadu_si512(from);
            }
#pragma GCC unroll 16
            for (int t = 0; t < tokens; ++t) {
                int four;
                __builtin_memcpy(&four, x + ((quad + way) * tokens + t) * 4, sizeof four);
                const __m512i wide = _mm512_set1_epi32(four);
#pragma GCC unroll 8
                for (int i = 0; i < panels; ++i) add_quad(dots[way][t][i], w[i], wide);
            }
        }
    }
#pragma GCC unroll 16
    for (int t = 0; t < tokens; ++t) {
#pragma GCC unroll 8
        for (int i = 0; i < panels; ++i) {
            sums[t][i].v = dots[0][t][i];
#pragma GCC unroll 4
            for (int way = 1; way < ways; ++way)
                sums[t][i].v = _mm512_add_epi32(sums[t][i].v, dots[way][t][i]);
        }
    }
}

// Makes bytes of value + `more` of the nibbles of 32 columns: multiplier * nibble + (more - multiplier * zero). A
// product is at most 240, so one 16-bit multiplication serves two bytes.
template <int more>
struct Expansion {
    __m512i low, factors, bases;

    explicit Expansion(const uint8_t* steps) : low(_mm512_set1_epi8(15)) {
        const __m512i first_bytes = _mm512_set4_epi32(0x0c0c0c0c, 0x08080808, 0x04040404, 0);
        const __m512i first_pairs = _mm512_set4_epi32(0x0d0c0d0c, 0x09080908, 0x05040504, 0x01000100);
        const __m512i step = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(steps)));
        const __m512i zero = _mm512_and_si512(step, low);
        const __m512i by = _mm512_add_epi32(_mm512_srli_epi32(step, 4), _mm512_set1_epi32(1));
        const __m512i base = _mm512_sub_epi32(_mm512_set1_epi32(more), _mm512_mullo_epi16(by, zero));
        factors = _mm512_shuffle_epi8(by, first_pairs);
        bases = _mm512_shuffle_epi8(base, first_bytes);
    }
    __m512i even(__m512i both) const { return of(_mm512_and_si512(both, low)); }
    __m512i odd(__m512i both) const { return of(_mm512_and_si512(_mm512_srli_epi16(both, 4), low)); }

private:
    __m512i of(__m512i nibbles) const {
        return _mm512_add_epi8(_mm512_mullo_epi16(nibbles, factors), bases);
    }
};

// Nibbles of 32 columns times `count` -> bytes.
template <int more = 128>
inline void expand(const uint8_t* codes, const uint8_t* steps, int64_t count, uint8_t* to) {
    for (int64_t i = 0; i < count; ++i, codes += 256, steps += panel_rows, to += 512) {
        const Expansion<more> bytes(steps);
        for (int j = 0; j < 4; ++j) {
            const __m512i both = _mm512_loadu_si512(codes + j * 64);
            _mm512_storeu_si512(to + j * 128, bytes.even(both));
            _mm512_storeu_si512(to + j * 128 + 64, bytes.odd(both));
        }
    }
}

// sums[t][i] += 32 `count` columns of panel i, nibbles, times those of token t, which lie as for add_dots. The bytes
// never leave the registers. The steps of the panels lie `steps_apart`.
template <int panels, int tokens>
inline void add_expanded(
    const uint8_t* const* codes, const uint8_t* steps, int64_t steps_apart, const int8_t* x, int64_t count,
    PanelSums (*sums)[panels]
) {
    constexpr int ways = panels * tokens <= 4 ? 2 : 1;  // as few sums would wait for each other
    __m512i all[ways][tokens][panels];
#pragma GCC unroll 8
    for (int t = 0; t < tokens; ++t)
#pragma GCC unroll 2
        for (int i = 0; i < panels; ++i) {
            all[ways - 1][t][i] = _mm512_setzero_si512();
            all[0][t][i] = sums[t][i].v;
        }
    for (int64_t step = 0; step < count; ++step, steps += panel_rows) {
        const Expansion<128> bytes[2] = {
            Expansion<128>(steps), Expansion<128>(steps + (panels - 1) * steps_apart)
        };
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j, x += 8 * tokens) {
            __m512i even[panels], odd[panels];
#pragma GCC unroll 2
            for (int i = 0; i < panels; ++i) {
                const uint8_t* from = codes[i] + step * 256 + j * 64;
                fetch_row<panels, tokens>(from);
                const __m512i both = _mm512_loadu_si512(from);
                even[i] = bytes[i].even(both);
                odd[i] = bytes[i].odd(both);
            }
            const auto add = [&](__m512i(&to)[tokens][panels], const __m512i* from, const int8_t* quads) {
#pragma GCC unroll 8
                for (int t = 0; t < tokens; ++t) {
                    int four;
                    __builtin_memcpy(&four, quads + 4 * t, sizeof four);
                    const __m512i wide = _mm512_set1_epi32(four);
#pragma GCC unroll 2
                    for (int i = 0; i < panels; ++i) add_quad(to[t][i], from[i], wide);
                }
            };
            add(all[0], even, x);
            add(all[ways - 1], odd, x + 4 * tokens);
        }
    }
#pragma GCC unroll 8
    for (int t = 0; t < tokens; ++t)
#pragma GCC unroll 2
        for (int i = 0; i < panels; ++i)
            sums[t][i].v = ways == 1 ? all[0][t][i] : _mm512_add_epi32(all[0][t][i], all[ways - 1][t][i]);
}

// sums[s] = 32 `count` columns of a panel of stream s times the activations of a token. totals [count] are sums
// of 32 activations: the sum of multiplier * (nibble - zero) * x is multiplier * (sum of nibble * x - zero *
// total). High nibbles are multiplied where they are, 16 times as large.
template <int streams>
inline void add_nibbles(
    const uint8_t* codes, int64_t codes_apart, const uint8_t* steps, int64_t steps_apart, const int8_t* x,
    const int32_t* totals, int64_t count, PanelSums* sums
) {
    const __m512i low_mask = _mm512_set1_epi8(15), high_mask = _mm512_set1_epi8(-16);
    const __m512i one = _mm512_set1_epi32(1), nibble = _mm512_set1_epi32(15);
    __m512i all[streams];
#pragma GCC unroll 8
    for (int s = 0; s < streams; ++s) all[s] = _mm512_setzero_si512();
    for (int64_t i = 0; i < count; ++i, codes += 256, steps += panel_rows, x += 32) {
#pragma GCC unroll 8
        for (int s = 0; s < streams; ++s) {
            const uint8_t *of_stream = codes + s * codes_apart, *its_steps = steps + s * steps_apart;
            // Every line is fetched once: asking again for one that is under way costs a tenth (LOG 2026-11-28).
            if (reinterpret_cast<uintptr_t>(its_steps) % 64 < panel_rows) __builtin_prefetch(its_steps + 512);
            __m512i even = _mm512_setzero_si512(), odd = even;
#pragma GCC unroll 4
            for (int j = 0; j < 4; ++j) {
                fetch_row<streams>(of_stream + j * 64);
                __m512i both = _mm512_loadu_si512(of_stream + j * 64);
                asm volatile("" : "+v"(both));  // or GCC loads it twice, once for each mask
                add_quad(even, _mm512_and_si512(both, low_mask), x + 8 * j);
                add_quad(odd, _mm512_and_si512(both, high_mask), x + 8 * j + 4);
            }
            // Read last: before the codes it would hold them up when it has to be waited for.
            const __m512i step =
                _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(its_steps)));
            const __m512i zero = _mm512_and_si512(step, nibble);
            const __m512i by = _mm512_add_epi32(_mm512_srli_epi32(step, 4), one);
            const __m512i shift = _mm512_madd_epi16(zero, _mm512_set1_epi32(totals[i]));
            const __m512i nibbles = _mm512_add_epi32(even, _mm512_srai_epi32(odd, 4));
            all[s] = _mm512_add_epi32(all[s], _mm512_mullo_epi32(_mm512_sub_epi32(nibbles, shift), by));
        }
    }
#pragma GCC unroll 8
    for (int s = 0; s < streams; ++s) sums[s].v = all[s];
}

// For measuring: 64 bytes of one register times those of another, added to 16 sums.
struct Pairs {
    __m512i v;
};
constexpr int64_t pairs_width = 64;
inline Pairs splat_pairs(int8_t x) { return {_mm512_set1_epi8(x)}; }
inline void add_pairs(Pairs& sums, Pairs& x) { asm("vpdpbusd %1, %1, %0" : "+v"(sums.v) : "v"(x.v)); }
inline int sum(Pairs a) { return _mm512_reduce_add_epi32(a.v); }

}  // namespace galago::GALAGO_ISA
