// Integer dot products of packed weights by USMMLA, two rows by eight columns times eight columns by two tokens,
// and by USDOT where a token is left alone.
#pragma once

namespace galago::GALAGO_ISA {

constexpr int packed_tokens = 6, packed_panels = 1;

inline void begin(PanelSums& s, int32_t balance) {
    for (auto& part : s.part) part = vdupq_n_s32(balance);
}

// Quads `stride` bytes apart of two tokens side by side -> two tokens of eight columns.
inline int8x16_t eights_of(const int8_t* x, int stride) {
    const int8x16_t even = vcombine_s8(vld1_s8(x), vdup_n_s8(0));
    const int8x16_t odd = vcombine_s8(vld1_s8(x + stride), vdup_n_s8(0));
    return vreinterpretq_s8_s32(vzip1q_s32(vreinterpretq_s32_s8(even), vreinterpretq_s32_s8(odd)));
}

// sums[t][0] += the bytes of the panel times the activations of token t, which start at x + 4 t, a quad each
// 4 `tokens`. Quads come in eights.
template <int panels, int tokens>
inline void add_dots(const uint8_t* const* codes, const int8_t* x, int64_t quads, PanelSums (*sums)[panels]) {
    static_assert(panels == 1, "there are registers for one panel");
    constexpr int couples = tokens / 2, alone = tokens % 2;
    int32x4_t squares[couples + 1][8];  // two rows by two tokens each; the last are for a token alone
    // Every loop over the sums is unrolled, or they would live in memory.
#pragma GCC unroll 4
    for (int c = 0; c <= couples; ++c)
#pragma GCC unroll 8
        for (int i = 0; i < 8; ++i) squares[c][i] = vdupq_n_s32(0);
    for (int64_t quad = 0; quad < quads; quad += 2) {
        const int8_t* at = x + quad * tokens * 4;
        int8x16_t both[couples + 1];
#pragma GCC unroll 4
        for (int c = 0; c < couples; ++c) both[c] = eights_of(at + c * 8, tokens * 4);
#pragma GCC unroll 4
        for (int rows = 0; rows < 4; ++rows) {
            const uint8x16_t first = vld1q_u8(codes[0] + quad * 64 + rows * 16);
            const uint8x16_t second = vld1q_u8(codes[0] + quad * 64 + 64 + rows * 16);
            const uint32x4_t a = vreinterpretq_u32_u8(first), b = vreinterpretq_u32_u8(second);
            const uint8x16_t low = vreinterpretq_u8_u32(vzip1q_u32(a, b));
            const uint8x16_t high = vreinterpretq_u8_u32(vzip2q_u32(a, b));
#pragma GCC unroll 4
            for (int c = 0; c < couples; ++c) {
                squares[c][2 * rows] = vusmmlaq_s32(squares[c][2 * rows], low, both[c]);
                squares[c][2 * rows + 1] = vusmmlaq_s32(squares[c][2 * rows + 1], high, both[c]);
            }
            if constexpr (alone != 0) {
                int32x4_t* dots = squares[couples] + 2 * rows;
                dots[0] = vusdotq_s32(dots[0], first, four_of(at + (tokens - 1) * 4));
                dots[1] = vusdotq_s32(dots[1], second, four_of(at + (2 * tokens - 1) * 4));
            }
        }
    }
#pragma GCC unroll 4
    for (int rows = 0; rows < 4; ++rows) {
        const auto add = [&](int t, int32x4_t dots) {
            sums[t][0].part[rows] = vaddq_s32(sums[t][0].part[rows], dots);
        };
#pragma GCC unroll 4
        for (int c = 0; c < couples; ++c) {
            const int32x4_t low = squares[c][2 * rows], high = squares[c][2 * rows + 1];
            add(2 * c, vuzp1q_s32(low, high));
            add(2 * c + 1, vuzp2q_s32(low, high));
        }
        if constexpr (alone != 0)
            add(tokens - 1, vaddq_s32(squares[couples][2 * rows], squares[couples][2 * rows + 1]));
    }
}

// For measuring: two rows of 8 bytes times two others, added to 4 sums. The empty assembly says that x may have
// changed, so that the products are not computed once for all.
struct Pairs {
    int32x4_t v;
};
constexpr int64_t pairs_width = 32;
inline Pairs splat_pairs(int8_t x) { return {vreinterpretq_s32_s8(vdupq_n_s8(x))}; }
inline void add_pairs(Pairs& sums, Pairs& x) {
    asm("" : "+w"(x.v));
    sums.v = vusmmlaq_s32(sums.v, vreinterpretq_u8_s32(x.v), vreinterpretq_s8_s32(x.v));
}
inline int sum(Pairs a) { return vaddvq_s32(a.v); }

}  // namespace galago::GALAGO_ISA
