// The layers of a decoder for one new token of one sequence, in one go. Knows no Python; shapes and pointers
// have been checked.
#pragma once

#include "ops.h"

namespace galago::decoder {

// A pre-norm layer: RMS norms, grouped heads with rotation, SwiGLU. `y` of its products is not used, and
// those that are added to the residual, o and down, have no bias. All layers have the same shapes and groups.
struct Layer {
    const float *attn_norm, *mlp_norm;
    ops::Target q, k, v, o, gate, up, down;
    Rows<float> keys, values;  // a row for each token, with the heads side by side
};

// Keys and values have `tokens` rows; the last one, the new token's, is written.
struct Token {
    const float *x, *cos, *sin;
    float* y;
    int64_t heads, kv_heads, size, tokens;
    float eps;
};

ops::Status run(const ops::Place&, const Layer* layers, int64_t count, const Token&);

// Rough nanoseconds of a layer on one thread.
double cost(const Layer&);

}  // namespace galago::decoder
