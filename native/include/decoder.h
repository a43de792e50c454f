// The layers of a decoder for one new token of each of some sequences, in one go. Knows no Python; shapes and
// pointers have been checked.
#pragma once

#include "ops.h"

namespace galago::decoder {

// A pre-norm layer: RMS norms, grouped heads with rotation, SwiGLU. `y` of its products is not used, and
// those that are added to the residual, o and down, have no bias. All layers have the same shapes and groups.
struct Layer {
    const float *attn_norm, *mlp_norm;
    ops::Target q, k, v, o, gate, up, down;
};

// A sequence's keys and values in one layer, by token and head: those it shares with others, then its own.
struct Kept {
    Heads<const float> shared_keys, shared_values;
    Heads<float> keys, values;
};

// Tokens that a sequence shares, and those of its own: the last one, the new token's, is written.
struct Length {
    int64_t shared, own;
};

// x and y [rows, dim], cos and sin [rows, size / 2], lengths [rows], kept [layers][rows].
struct Step {
    const float *x, *cos, *sin;
    float* y;
    const Length* lengths;
    const Kept* kept;
    int64_t rows, heads, kv_heads, size;
    float eps;
};

ops::Status run(const ops::Place&, const Layer* layers, int64_t count, const Step&);

// Rough nanoseconds of a layer on one thread.
double cost(const Layer&, int64_t rows);

}  // namespace galago::decoder
