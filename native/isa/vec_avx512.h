// The vector trait on AVX-512: 16 floats, and int8 dot products by VNNI.
#pragma once

#if defined(__GNUC__) && !defined(__clang__)
// The AVX-512 headers of GCC 12 start from variables that they leave uninitialised on purpose.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include "kernels.h"

namespace galago::GALAGO_ISA {

struct Vec {
    static constexpr int width = 16;
    __m512 v;
};

// Register tiles: rows times vectors of sums, with room for their factors.
constexpr int tile_rows = 12, tile_vectors = 2;  // outer products
constexpr int dot_tokens = 4, dot_rows = 4;      // dot products
constexpr int packed_tokens = 12;                // tokens beside one panel

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
inline void clear(PanelSums& s) { s.v = _mm512_setzero_si512(); }
inline PanelFloats to_floats(PanelSums s) { return {{{_mm512_cvtepi32_ps(s.v)}}}; }

// sums += codes times the four activations at x, in every row. Written as assembly because GCC 12 makes of
// the intrinsic a separate broadcast and two register moves, which cost more than the instruction.
inline void add_quad(__m512i& sums, __m512i codes, const int8_t* x) {
    struct Quad {
        int8_t values[4];
    };
    asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sums) : "v"(codes), "m"(*reinterpret_cast<const Quad*>(x)));
}

// sums[t] += codes of 32 columns times the activations of token t, which start at x + 4 t, a quad each 4
// `tokens`.
template <int bits, int tokens>
inline void add_dots(const uint8_t* codes, const int8_t* x, PanelSums* sums) {
    if constexpr (bits == 8) {
#pragma GCC unroll 8
        for (int quad = 0; quad < 8; ++quad) {
            const __m512i w = _mm512_loadu_si512(codes + quad * 64);
            for (int t = 0; t < tokens; ++t) add_quad(sums[t].v, w, x + (quad * tokens + t) * 4);
        }
    } else {
        const __m512i mask = _mm512_set1_epi8(15);
#pragma GCC unroll 4
        for (int pair = 0; pair < 4; ++pair) {
            const __m512i both = _mm512_loadu_si512(codes + pair * 64);
            const __m512i even = _mm512_and_si512(both, mask);
            const __m512i odd = _mm512_and_si512(_mm512_srli_epi16(both, 4), mask);
            for (int t = 0; t < tokens; ++t) add_quad(sums[t].v, even, x + (2 * pair * tokens + t) * 4);
            for (int t = 0; t < tokens; ++t) add_quad(sums[t].v, odd, x + ((2 * pair + 1) * tokens + t) * 4);
        }
    }
}

}  // namespace galago::GALAGO_ISA
