// The kernel table: what an instruction set offers, as plain functions over plain memory.
//
// A kernel computes one part of a result (some rows, tokens or panels) on the calling thread. It does not
// allocate, lock, throw or check: bind.cpp has checked, ops.cpp has made the parts and the scratch memory.
// The value of an output element never depends on how the work was cut.
#pragma once

#include <cstddef>
#include <cstdint>

namespace galago {

struct Span {
    int64_t begin, end;
};

// Rows of `cols` consecutive values, `stride` values apart.
template <class T>
struct Rows {
    T* data;
    int64_t stride;
    T* operator[](int64_t row) const { return data + row * stride; }
};

// y [tokens, rows] = x [tokens, cols] weight [rows, cols]^T + bias; bias may be null.
// W is float or uint16_t (the upper half of a float).
template <class W>
struct DenseProduct {
    Rows<const float> x;
    const W* weight;
    const float* bias;
    float* y;
    int64_t tokens, rows, cols;
};

// A matrix of int8 values with a scale for each row and group of columns, in panels of 16 rows as packing.py
// defines them. Bytes hold value + 128. With 4 bits, `steps` make a byte of each nibble (generic.cpp: code).
constexpr int64_t panel_rows = 16;
constexpr int64_t step_cols = 32;

struct PackedMatrix {
    const uint8_t* codes;
    const uint16_t* scales;
    const uint8_t* steps;     // null with 8 bits
    const uint16_t* offsets;  // null when all are 0
    int64_t rows, cols, group;
    int bits;

    int64_t groups() const { return (cols + group - 1) / group; }
    int64_t padded_cols() const { return groups() * group; }
    int64_t panels() const { return (rows + panel_rows - 1) / panel_rows; }
    int64_t panel_bytes() const { return padded_cols() * panel_rows * bits / 8; }
};

// How activations lie: `tile` tokens together, `piece` consecutive columns of each.
struct Layout {
    int64_t tile, piece;
};

// Activations rounded to int8. Tokens lie in tiles (the last may have fewer), so that a tile is one stream:
// tile k starts at codes + k * tile * padded_cols. With pieces of 4 columns it holds [padded_cols / 4][its
// tokens][4]; with longer ones [padded_cols / piece][tile][piece], and where there is no token any bytes.
// scales and balances are [groups][tokens]; a balance is -128 times the sum of the integers of the group,
// which is what a sum over bytes of value + 128 has to start from.
struct Activations {
    int8_t* codes;
    float* scales;
    int32_t* balances;
    int64_t tokens;
    Layout layout;
};

struct Quantise {
    Rows<const float> x;
    int64_t cols, group;
    Activations out;
};

struct PackedProduct {
    PackedMatrix weight;
    Activations x;
    const float* bias;
    Rows<float> y;                // [tokens, weight.rows]
    Rows<const float> residual{};  // the same, added; null where there is none
};

// Dense rows to be packed, of finite values; steps is null with 8 bits.
struct Pack {
    Rows<const float> x;
    int64_t rows, cols, group;
    int bits;
    uint8_t* codes;
    uint16_t* scales;
    uint8_t* steps;
};

struct Norm {
    Rows<const float> x;
    const float* weight;
    const float* bias;  // null for rms_norm
    float* y;
    int64_t cols;
    float eps;
};

// Vectors of one size by token and head; the size has stride 1.
template <class T>
struct Heads {
    T* data;
    int64_t token_stride, head_stride;
    T* at(int64_t token, int64_t head) const { return data + token * token_stride + head * head_stride; }
};

struct Rotate {
    Heads<const float> x;
    const float *cos, *sin;  // [tokens, size / 2]
    Heads<float> y;
    int64_t heads, size;
};

struct Attention {
    Heads<const float> q, k, v;
    Heads<float> y;
    int64_t heads, kv_heads, size;
};

// Queries `queries` of one key head over keys `keys`; the query at queries.begin + i sees the first `seen +
// i` keys when causal, else all.
struct AttentionPart {
    Span queries, keys;
    int64_t kv_head;
    bool causal;
    int64_t seen;
};

// Rows of a sequence, of which the first `split` lie in one place and the others in a second.
struct Past {
    Rows<const float> first, second;
    int64_t split;
    const float* operator[](int64_t row) const { return row < split ? first[row] : second[row - split]; }
    // All in one place: `count` tokens of a head, from `token` on.
    static Past of(const Heads<const float>& heads, int64_t head, int64_t token, int64_t count) {
        const Rows<const float> rows{heads.at(token, head), heads.token_stride};
        return {rows, rows, count};
    }
};

// The heads of one query that share a key head, over `count` keys of that head, all of one size. The first `met`
// of them this thread has just met.
struct RowAttention {
    Rows<const float> q;
    Past keys, values;
    int64_t count;
    Rows<float> y;
    int64_t heads, size;
    int64_t met = 0;
};

enum class Activation { silu, gelu, gelu_tanh, quick_gelu };

// A loop that adds the square of a factor to sums in registers and does nothing else, `madds` times in a
// round; the result is the sum of the sums. Null where an instruction set has none.
struct Peak {
    double (*run)(int64_t rounds, float factor);
    int64_t madds;
};

// Bytes to align scratch memory and its parts to.
constexpr size_t alignment = 64;

struct Kernels {
    const char* name;

    // Rows are cut at multiples of `dense_panel`; scratch holds `dense_scratch` floats.
    int64_t dense_panel, dense_scratch;
    void (*linear_f32)(const DenseProduct<float>&, Span rows, float* scratch);
    void (*linear_bf16)(const DenseProduct<uint16_t>&, Span rows, float* scratch);

    // How so many tokens lie for products with weights in such groups, in tiles of at most `packed_tile`;
    // `quantise` is given whole tiles, scratch holds padded_cols bytes.
    int64_t packed_tile;
    int64_t packed_cache, packed_most;  // the most int8 bytes, and tokens, that are multiplied together
    Layout (*packed_layout)(int64_t tokens, int64_t group);
    void (*quantise)(const Quantise&, Span tokens, int8_t* scratch);
    // Scratch, aligned, holds `packed_scratch` bytes.
    int64_t (*packed_scratch)(const PackedProduct&);
    void (*linear_packed)(const PackedProduct&, Span panels, void* scratch);
    // The same, but weights of one token are read in two places in turn, or in more: dispatch.cpp puts first
    // what the processor is faster with.
    void (*linear_packed_otherwise)(const PackedProduct&, Span panels, void* scratch);

    // False when a value is beyond the range of float16.
    bool (*pack)(const Pack&, Span panels);

    void (*rms_norm)(const Norm&, Span tokens);
    void (*layer_norm)(const Norm&, Span tokens);
    void (*rotate)(const Rotate&, Span tokens);

    // The most queries times query heads in a part, and the floats of scratch for parts of `rows` of them.
    int64_t attention_rows;
    int64_t (*attention_scratch)(const Attention&, int64_t rows);
    void (*attention)(const Attention&, const AttentionPart&, float* scratch);
    // The same with factors rounded to bfloat16; null where that is not faster.
    void (*attention_rounded)(const Attention&, const AttentionPart&, float* scratch);
    // For one query; scratch as for a part of `heads` rows.
    void (*attend_row)(const RowAttention&, float* scratch);

    void (*activate)(Activation, const float* x, float* y, int64_t count);
    void (*silu_mul)(const float* gate, const float* up, float* y, int64_t count);
    bool (*is_finite)(const float* x, int64_t count);

    void (*embed_bf16)(const uint16_t* row, float* y, int64_t cols);
    void (*embed_packed)(const PackedMatrix&, int64_t row, float* y);

    // For measuring what this machine can do at most (ceilings.cpp); `read` adds up memory.
    Peak peak_int8, peak_bf16, peak_f32;
    float (*read)(const void* memory, int64_t bytes);
    float (*read_straight)(const void* memory, int64_t bytes);  // one address after the other
};

// Every instruction set that this machine, its operating system included, can run: the plainest first, the
// best last. The tables live as long as the program.
struct KernelList {
    const Kernels* const* tables;
    int count;
};
KernelList available_kernels();

namespace generic {
void fill(Kernels&);
}
namespace avx2 {
void fill(Kernels&);
}
namespace avx512_vnni {
void fill(Kernels&);
}
namespace avx512_bf16 {
void fill(Kernels&);
}
namespace amx {
void fill(Kernels&);
}
namespace neon {
void fill(Kernels&);
}
namespace neon_dotprod {
void fill(Kernels&);
}
namespace neon_i8mm {
void fill(Kernels&);
}

}  // namespace galago
