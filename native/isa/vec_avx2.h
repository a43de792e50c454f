// The vector trait on AVX2 with FMA and F16C: 8 floats, and int8 dot products that never saturate.
#pragma once

#include <immintrin.h>

#include "kernels.h"
#include "row_x86.h"

namespace galago::GALAGO_ISA {

struct Vec {
    static constexpr int width = 8;
    __m256 v;
};

// Register tiles: rows times vectors of sums, with room for their factors.
constexpr int tile_rows = 6, tile_vectors = 2;  // outer products
constexpr int dot_tokens = 3, dot_rows = 4;     // dot products
constexpr int packed_tokens = 4, packed_panels = 1;  // int8 dot products
constexpr int row_streams = 4;         // places where weights are read for one token
constexpr bool few_in_registers = false;

inline __m256i first(int64_t n) {
    alignas(32) static constexpr int32_t masks[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(masks + 8 - n));
}

inline Vec splat(float x) { return {_mm256_set1_ps(x)}; }
inline Vec zero() { return {_mm256_setzero_ps()}; }
inline Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
inline Vec load(const float* p, int64_t n) { return {_mm256_maskload_ps(p, first(n))}; }
inline void store(float* p, Vec a) { _mm256_storeu_ps(p, a.v); }
inline void store(float* p, Vec a, int64_t n) { _mm256_maskstore_ps(p, first(n), a.v); }

// Weights as they are stored -> floats.
inline Vec widen(const float* p) { return load(p); }
inline Vec widen(const float* p, int64_t n) { return load(p, n); }
inline Vec widen(const uint16_t* p) {
    const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16))};
}
inline Vec widen(const uint16_t* p, int64_t n) {
    uint16_t whole[8] = {};
    for (int64_t i = 0; i < n; ++i) whole[i] = p[i];
    return widen(whole);
}

inline Vec operator+(Vec a, Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm256_div_ps(a.v, b.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }         // a b + c
inline Vec fma_minus(Vec a, Vec b, Vec c) { return {_mm256_fnmadd_ps(a.v, b.v, c.v)}; }  // c - a b
inline Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }                       // b if either is NaN
inline Vec min(Vec a, Vec b) { return {_mm256_min_ps(a.v, b.v)}; }                       // b if either is NaN
inline Vec round(Vec a) { return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
inline Vec absolute(Vec a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0F), a.v)}; }
inline Vec if_negative(Vec x, Vec then, Vec otherwise) {
    return {_mm256_blendv_ps(otherwise.v, then.v, _mm256_cmp_ps(x.v, _mm256_setzero_ps(), _CMP_LT_OQ))};
}

inline float sum(Vec a) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
// The sums of four vectors, side by side.
inline void store_sums(float* p, Vec a, Vec b, Vec c, Vec d) {
    const __m256 pairs = _mm256_hadd_ps(_mm256_hadd_ps(a.v, b.v), _mm256_hadd_ps(c.v, d.v));
    _mm_storeu_ps(p, _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1)));
}

// a 2^n for an integral n of at most 252; what is too small becomes denormal or 0, what is too large
// infinite.
inline Vec times_power_of_two(Vec a, Vec n) {
    const __m256i whole = _mm256_cvtps_epi32(n.v);
    const __m256i half = _mm256_srai_epi32(whole, 1), rest = _mm256_sub_epi32(whole, half);
    const __m256i bias = _mm256_set1_epi32(127);
    const __m256 one = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
    const __m256 two = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23));
    return {_mm256_mul_ps(_mm256_mul_ps(a.v, one), two)};
}

// The larger of two non-negative floats, infinity above all numbers and NaN above infinity.
inline Vec max_with_nan(Vec a, Vec b) {
    return {_mm256_castsi256_ps(_mm256_max_epi32(_mm256_castps_si256(a.v), _mm256_castps_si256(b.v)))};
}
inline uint32_t largest_bits(Vec a) {
    const __m256i v = _mm256_castps_si256(a.v);
    __m128i s = _mm_max_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_max_epi32(s, _mm_shuffle_epi32(s, _MM_SHUFFLE(1, 0, 3, 2)));
    s = _mm_max_epi32(s, _mm_shuffle_epi32(s, _MM_SHUFFLE(2, 3, 0, 1)));
    return static_cast<uint32_t>(_mm_cvtsi128_si32(s));
}

// `width` int32.
struct Words {
    __m256i v;
};
inline Words to_words(Vec a) { return {_mm256_cvtps_epi32(a.v)}; }  // to nearest even
inline Words operator+(Words a, Words b) { return {_mm256_add_epi32(a.v, b.v)}; }
inline void store_int8(int8_t* p, Words a) {
    const __m128i halves = _mm_packs_epi32(_mm256_castsi256_si128(a.v), _mm256_extracti128_si256(a.v, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(halves, halves));
}
inline int sum(Words a) {
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(a.v), _mm256_extracti128_si256(a.v, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, _MM_SHUFFLE(1, 0, 3, 2)));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, _MM_SHUFFLE(2, 3, 0, 1))));
}

// to[j * stride + i] = from[i][j] for a square of `width`.
inline void transpose(const Vec* from, float* to, int64_t stride) {
    __m256 a[8], b[8];
    for (int i = 0; i < 8; i += 2) {
        a[i] = _mm256_unpacklo_ps(from[i].v, from[i + 1].v);
        a[i + 1] = _mm256_unpackhi_ps(from[i].v, from[i + 1].v);
    }
    for (int i = 0; i < 8; i += 4) {
        for (int j = 0; j < 2; ++j) {
            b[i + 2 * j] = _mm256_shuffle_ps(a[i + j], a[i + j + 2], 0x44);
            b[i + 2 * j + 1] = _mm256_shuffle_ps(a[i + j], a[i + j + 2], 0xee);
        }
    }
    for (int c = 0; c < 4; ++c) {
        _mm256_storeu_ps(to + c * stride, _mm256_permute2f128_ps(b[c], b[4 + c], 0x20));
        _mm256_storeu_ps(to + (4 + c) * stride, _mm256_permute2f128_ps(b[c], b[4 + c], 0x31));
    }
}

// 16 float16 of a panel -> floats.
struct PanelFloats {
    static constexpr int vectors = 2;
    Vec part[vectors];
};
inline PanelFloats load_f16(const uint16_t* p) {
    const auto* halves = reinterpret_cast<const __m128i*>(p);
    return {{{_mm256_cvtph_ps(_mm_loadu_si128(halves))}, {_mm256_cvtph_ps(_mm_loadu_si128(halves + 1))}}};
}

// 16 int32 sums of a panel.
struct PanelSums {
    __m256i low, high;
};
inline void begin(PanelSums& s, int32_t) { s.low = s.high = _mm256_setzero_si256(); }
inline PanelFloats to_floats(PanelSums s) {
    return {{{_mm256_cvtepi32_ps(s.low)}, {_mm256_cvtepi32_ps(s.high)}}};
}

inline __m256i four_of(const int8_t* p) {
    int word;
    __builtin_memcpy(&word, p, sizeof word);
    return _mm256_set1_epi32(word);
}
inline __m256i load_codes(const uint8_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
inline void store_codes(uint8_t* p, __m256i codes) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), codes);
}

// sums[t][i] += the values of panel i times the activations of token t, which start at x + 4 t, a quad each
// 4 `tokens`. Signs move from the weights to the activations: a pair of products is at most 2 * 128 * 127,
// which 16 bits hold.
template <int panels, int tokens>
inline void add_dots(const uint8_t* const* codes, const int8_t* x, int64_t quads, PanelSums (*sums)[panels]) {
    static_assert(panels == 1 || tokens == 1, "there are registers for one panel of several tokens");
    const __m256i bias = _mm256_set1_epi8(-128), ones = _mm256_set1_epi16(1);
    for (int64_t quad = 0; quad < quads; ++quad) {
#pragma GCC unroll 4
        for (int i = 0; i < panels; ++i) {
            const uint8_t* from = codes[i] + quad * 64;
            if constexpr (tokens == 1) fetch_row<panels>(from);
            const __m256i low = _mm256_xor_si256(load_codes(from), bias);
            const __m256i high = _mm256_xor_si256(load_codes(from + 32), bias);
            const __m256i low_size = _mm256_abs_epi8(low), high_size = _mm256_abs_epi8(high);
            for (int t = 0; t < tokens; ++t) {
                const __m256i four = four_of(x + (quad * tokens + t) * 4);
                const __m256i a = _mm256_maddubs_epi16(low_size, _mm256_sign_epi8(four, low));
                const __m256i b = _mm256_maddubs_epi16(high_size, _mm256_sign_epi8(four, high));
                sums[t][i].low = _mm256_add_epi32(sums[t][i].low, _mm256_madd_epi16(a, ones));
                sums[t][i].high = _mm256_add_epi32(sums[t][i].high, _mm256_madd_epi16(b, ones));
            }
        }
    }
}

// Nibbles of 32 columns times `count` -> bytes of value + 128: multiplier * nibble + (128 - multiplier *
// zero). A product is at most 240, so one 16-bit multiplication serves two bytes.
inline void expand(const uint8_t* codes, const uint8_t* steps, int64_t count, uint8_t* to) {
    const __m256i low = _mm256_set1_epi8(15);
    const __m256i first_bytes = _mm256_set_epi32(
        0x0c0c0c0c, 0x08080808, 0x04040404, 0, 0x0c0c0c0c, 0x08080808, 0x04040404, 0
    );
    const __m256i first_pairs = _mm256_set_epi32(
        0x0d0c0d0c, 0x09080908, 0x05040504, 0x01000100, 0x0d0c0d0c, 0x09080908, 0x05040504, 0x01000100
    );
    for (int64_t i = 0; i < 2 * count; ++i) {  // 8 of 16 rows at a time
        const uint8_t* from = codes + i / 2 * 256 + i % 2 * 32;
        uint8_t* target = to + i / 2 * 512 + i % 2 * 32;
        const __m256i step =
            _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(steps + i * 8)));
        const __m256i zero = _mm256_and_si256(step, low);
        const __m256i by = _mm256_add_epi32(_mm256_srli_epi32(step, 4), _mm256_set1_epi32(1));
        const __m256i base = _mm256_sub_epi32(_mm256_set1_epi32(128), _mm256_mullo_epi16(by, zero));
        const __m256i bases = _mm256_shuffle_epi8(base, first_bytes);
        const __m256i factors = _mm256_shuffle_epi8(by, first_pairs);
        for (int j = 0; j < 4; ++j) {
            const __m256i both = load_codes(from + j * 64);
            const __m256i even = _mm256_and_si256(both, low);
            const __m256i odd = _mm256_and_si256(_mm256_srli_epi16(both, 4), low);
            store_codes(target + j * 128, _mm256_add_epi8(_mm256_mullo_epi16(even, factors), bases));
            store_codes(target + j * 128 + 64, _mm256_add_epi8(_mm256_mullo_epi16(odd, factors), bases));
        }
    }
}

// sums[s] = 32 `count` columns of a panel of stream s times the activations of a token. totals [count] are sums
// of 32 activations: the sum of multiplier * (nibble - zero) * x is multiplier * (sum of nibble * x - zero *
// total). Eight pairs of products are at most 8 * 2 * 15 * 127, which 16 bits hold.
template <int streams>
inline void add_nibbles(
    const uint8_t* codes, int64_t codes_apart, const uint8_t* steps, int64_t steps_apart, const int8_t* x,
    const int32_t* totals, int64_t count, PanelSums* sums
) {
    const __m256i nibble = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
    for (int s = 0; s < streams; ++s) begin(sums[s], 0);
    for (int64_t i = 0; i < count; ++i, codes += 256, steps += panel_rows, x += 32) {
        for (int s = 0; s < streams; ++s) {
            const uint8_t *of_stream = codes + s * codes_apart, *its_steps = steps + s * steps_apart;
            if (reinterpret_cast<uintptr_t>(its_steps) % 64 < panel_rows) __builtin_prefetch(its_steps + 512);
            __m256i low = _mm256_setzero_si256(), high = low;
            const auto add = [&](__m256i& pairs, __m256i both, int j) {
                const __m256i even = _mm256_and_si256(both, nibble);
                const __m256i odd = _mm256_and_si256(_mm256_srli_epi16(both, 4), nibble);
                pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(even, four_of(x + 8 * j)));
                pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(odd, four_of(x + 8 * j + 4)));
            };
#pragma GCC unroll 4
            for (int j = 0; j < 4; ++j) {
                fetch_row<streams>(of_stream + j * 64);
                add(low, load_codes(of_stream + j * 64), j);
                add(high, load_codes(of_stream + j * 64 + 32), j);
            }
            const auto close = [&](__m256i& sum, __m256i pairs, const uint8_t* from) {
                const __m256i step =
                    _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)));
                const __m256i zero = _mm256_and_si256(step, _mm256_set1_epi32(15));
                const __m256i by = _mm256_add_epi32(_mm256_srli_epi32(step, 4), _mm256_set1_epi32(1));
                const __m256i shift = _mm256_madd_epi16(zero, _mm256_set1_epi32(totals[i]));
                const __m256i dot = _mm256_sub_epi32(_mm256_madd_epi16(pairs, ones), shift);
                sum = _mm256_add_epi32(sum, _mm256_mullo_epi32(dot, by));
            };
            close(sums[s].low, low, its_steps);
            close(sums[s].high, high, its_steps + 8);
        }
    }
}

// For measuring: 32 bytes of one register times those of another, added to 16 sums of 16 bits as in the
// product of nibbles. The empty assembly says that x may have changed, so that the products are not computed
// once for all.
struct Pairs {
    __m256i v;
};
constexpr int64_t pairs_width = 32;
inline Pairs splat_pairs(int8_t x) { return {_mm256_set1_epi8(x)}; }
inline void add_pairs(Pairs& sums, Pairs& x) {
    asm("" : "+x"(x.v));
    sums.v = _mm256_add_epi16(sums.v, _mm256_maddubs_epi16(x.v, x.v));
}
inline int sum(Pairs a) { return sum(Words{_mm256_madd_epi16(a.v, _mm256_set1_epi16(1))}); }

}  // namespace galago::GALAGO_ISA
