// Integer dot products of packed weights in plain NEON: products of bytes in 16 bits, added in pairs into 32.
#pragma once

namespace galago::GALAGO_ISA {

constexpr int packed_tokens = 4, packed_panels = 1;

inline void begin(PanelSums& s, int32_t) {
    for (auto& part : s.part) part = vdupq_n_s32(0);
}

// sums[t][0] += the values of the panel times the activations of token t, which start at x + 4 t, a quad each
// 4 `tokens`. Two products are at most 2 * 128 * 127, which 16 bits hold. Quads come in eights.
template <int panels, int tokens>
inline void add_dots(const uint8_t* const* codes, const int8_t* x, int64_t quads, PanelSums (*sums)[panels]) {
    static_assert(panels == 1, "there are registers for one panel");
    for (int rows = 0; rows < 4; ++rows) {
        int32x4_t low[tokens], high[tokens];  // two sums for each of two rows
#pragma GCC unroll 4
        for (int t = 0; t < tokens; ++t) low[t] = high[t] = vdupq_n_s32(0);
        for (int64_t quad = 0; quad < quads; quad += 2) {
            const int8x16_t first = values(codes[0] + quad * 64 + rows * 16);
            const int8x16_t second = values(codes[0] + quad * 64 + 64 + rows * 16);
#pragma GCC unroll 4
            for (int t = 0; t < tokens; ++t) {
                const int8x16_t a = four_of(x + (quad * tokens + t) * 4);
                const int8x16_t b = four_of(x + ((quad + 1) * tokens + t) * 4);
                const int16x8_t ab = vmull_s8(vget_low_s8(first), vget_low_s8(a));
                low[t] = vpadalq_s16(low[t], vmlal_s8(ab, vget_low_s8(second), vget_low_s8(b)));
                high[t] = vpadalq_s16(high[t], vmlal_high_s8(vmull_high_s8(first, a), second, b));
            }
        }
#pragma GCC unroll 4
        for (int t = 0; t < tokens; ++t)
            sums[t][0].part[rows] = vaddq_s32(sums[t][0].part[rows], vpaddq_s32(low[t], high[t]));
    }
}

// For measuring: 16 bytes of one register times those of another, added to 8 sums of 16 bits. The empty assembly says that x may have
// changed, so that the products are not computed once for all.
struct Pairs {
    int16x8_t v;
};
constexpr int64_t pairs_width = 16;
inline Pairs splat_pairs(int8_t x) { return {vreinterpretq_s16_s8(vdupq_n_s8(x))}; }
inline void add_pairs(Pairs& sums, Pairs& x) {
    asm("" : "+w"(x.v));
    const int8x16_t bytes = vreinterpretq_s8_s16(x.v);
    sums.v = vmlal_high_s8(vmlal_s8(sums.v, vget_low_s8(bytes), vget_low_s8(bytes)), bytes, bytes);
}
inline int sum(Pairs a) { return vaddlvq_s16(a.v); }

}  // namespace galago::GALAGO_ISA
