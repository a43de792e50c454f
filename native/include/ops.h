// Whole operations: the work is cut into parts, the parts run on the pool with scratch memory of their
// thread. Knows no instruction set and no Python. Shapes and pointers have been checked.
#pragma once

#include "kernels.h"
#include "pool.h"

namespace galago::ops {

struct Place {
    Pool& pool;
    const Kernels& kernels;
};

enum class Status { done, out_of_memory };

Status linear(const Place&, const DenseProduct<float>&);
Status linear(const Place&, const DenseProduct<uint16_t>&);

// One of several products with the same x: y [tokens, weight.rows], to which a residual of that shape may be
// added, y itself for one.
struct Target {
    PackedMatrix weight;
    const float* bias;
    float* y;
    const float* residual = nullptr;
};

// x [tokens, cols] is rounded once for all targets, whose weights have the same columns and group.
Status linear(const Place&, Rows<const float> x, int64_t tokens, const Target* targets, int64_t count);

// y [tokens, rows] = silu(x gate^T + bias) * (x up^T + bias); gate and up have one shape and group. Only y of
// `gate` is used.
Status gated(const Place&, Rows<const float> x, int64_t tokens, const Target& gate, const Target& up);

// Where only the `best` largest elements of x weight^T count. All rows are computed with `rough`, a coarse copy
// of the weight, and the panels of the `candidates` largest with the weight again. By how much these change
// tells by how much others would: surely none of those is among the best if the best lie `margin` times the
// root-mean-square of that above all that was not computed again.
struct Screening {
    PackedMatrix weight, rough;
    int64_t candidates, best;
    double margin;
    float* y;  // [1, weight.rows]
};

// y holds the best, and others coarsely, if `sure`; else it is worth nothing. It is never where there are few
// rows, and where the candidates are not finite.
Status linear_best(const Place&, Rows<const float> x, const Screening&, bool* sure);

// False when a value is beyond the range of float16.
bool pack(const Place&, const Pack&);

Status rms_norm(const Place&, const Norm&, int64_t tokens);
Status layer_norm(const Place&, const Norm&, int64_t tokens);
Status rotate(const Place&, const Rotate&, int64_t tokens);

// Keys of segment i are bounds[i] .. bounds[i+1], and so are its queries. Without bounds there is one
// segment.
struct Segments {
    const int32_t* bounds;
    int64_t count;
};
Status attention(
    const Place&, const Attention&, int64_t tokens, int64_t keys, bool causal, Segments, bool rounded
);

Status activate(const Place&, Activation, const float* x, float* y, int64_t count);
Status silu_mul(const Place&, const float* gate, const float* up, float* y, int64_t count);
bool is_finite(const Place&, const float* x, int64_t count);

// Rough nanoseconds on one thread, to decide whether sharing the work, or letting go of a lock, pays.
constexpr double dense_cost(int64_t tokens, int64_t rows, int64_t cols) {
    return static_cast<double>(rows) * static_cast<double>(cols) *
           (0.05 + 0.03 * static_cast<double>(tokens));
}
constexpr double packed_cost(int64_t tokens, int64_t rows, int64_t cols) {
    return static_cast<double>(rows) * static_cast<double>(cols) *
           (0.02 + 0.006 * static_cast<double>(tokens));
}
constexpr double attention_cost(int64_t tokens, int64_t keys, int64_t heads, int64_t size) {
    return static_cast<double>(tokens * heads) * static_cast<double>(keys) * static_cast<double>(size + 8) *
           0.06;
}
constexpr double pack_cost(int64_t count) { return static_cast<double>(count) * 2; }
constexpr double pass_cost(int64_t count) { return static_cast<double>(count) * 0.2; }
constexpr double activation_cost(int64_t count) { return static_cast<double>(count) * 0.4; }

// Waking a worker costs some microseconds; work below this stays on its thread.
constexpr double worth_sharing = 15'000;

}  // namespace galago::ops
