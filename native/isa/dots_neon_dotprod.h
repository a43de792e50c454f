// Integer dot products of packed weights by SDOT: four products of signed bytes are added to each 32-bit sum.
#pragma once

namespace galago::GALAGO_ISA {

constexpr int packed_tokens = 6, packed_panels = 1;

inline void begin(PanelSums& s, int32_t) {
    for (auto& part : s.part) part = vdupq_n_s32(0);
}

// sums[t][0] += the values of the panel times the activations of token t, which start at x + 4 t, a quad each
// 4 `tokens`.
template <int panels, int tokens>
inline void add_dots(const uint8_t* const* codes, const int8_t* x, int64_t quads, PanelSums (*sums)[panels]) {
    static_assert(panels == 1, "there are registers for one panel");
    int32x4_t dots[tokens][4];
    // Every loop over the sums is unrolled, or they would live in memory.
#pragma GCC unroll 6
    for (int t = 0; t < tokens; ++t)
#pragma GCC unroll 4
        for (int rows = 0; rows < 4; ++rows) dots[t][rows] = sums[t][0].part[rows];
    for (int64_t quad = 0; quad < quads; ++quad) {
        int8x16_t w[4];
#pragma GCC unroll 4
        for (int rows = 0; rows < 4; ++rows) w[rows] = values(codes[0] + quad * 64 + rows * 16);
#pragma GCC unroll 6
        for (int t = 0; t < tokens; ++t) {
            const int8x16_t four = four_of(x + (quad * tokens + t) * 4);
#pragma GCC unroll 4
            for (int rows = 0; rows < 4; ++rows) dots[t][rows] = vdotq_s32(dots[t][rows], w[rows], four);
        }
    }
#pragma GCC unroll 6
    for (int t = 0; t < tokens; ++t)
#pragma GCC unroll 4
        for (int rows = 0; rows < 4; ++rows) sums[t][0].part[rows] = dots[t][rows];
}

// For measuring: 16 bytes of one register times those of another, added to 4 sums. The empty assembly says that x may have
// changed, so that the products are not computed once for all.
struct Pairs {
    int32x4_t v;
};
constexpr int64_t pairs_width = 16;
inline Pairs splat_pairs(int8_t x) { return {vreinterpretq_s32_s8(vdupq_n_s8(x))}; }
inline void add_pairs(Pairs& sums, Pairs& x) {
    asm("" : "+w"(x.v));
    sums.v = vdotq_s32(sums.v, vreinterpretq_s8_s32(x.v), vreinterpretq_s8_s32(x.v));
}
inline int sum(Pairs a) { return vaddvq_s32(a.v); }

}  // namespace galago::GALAGO_ISA
