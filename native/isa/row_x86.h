// What AVX2 and AVX-512 share of the products with one token (packed_row.h).
#pragma once

#include <immintrin.h>

#include "kernels.h"

namespace galago::GALAGO_ISA {

// Fetches what one of so many streams comes to later. One or two that meet one token are better left to what the
// processor fetches ahead by itself (LOG 2026-11-29).
template <int streams, int tokens = 1>
inline void fetch_row(const uint8_t* from) {
    if constexpr (streams > 2) {
        __builtin_prefetch(from + 1024);
    } else if constexpr (tokens > 1) {
        __builtin_prefetch(from + 4096);
    }
}

// The sum of 32 int8 values.
inline int32_t step_total(const int8_t* x) {
    const __m256i pairs = _mm256_maddubs_epi16(
        _mm256_set1_epi8(1), _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x))
    );
    const __m256i quads = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    const __m128i fours = _mm_add_epi32(_mm256_castsi256_si128(quads), _mm256_extracti128_si256(quads, 1));
    const __m128i twos = _mm_add_epi32(fours, _mm_shuffle_epi32(fours, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(twos, _mm_shuffle_epi32(twos, 0xb1)));
}

}  // namespace galago::GALAGO_ISA
