// All kernels that are written once, on the vector trait of an instruction set. A file of isa/ defines
// GALAGO_ISA, includes its trait, then this: everything is compiled again in its namespace with its flags.
// Nothing from the standard library is used, because an inline function shared between files could keep the
// wrong instructions.
#pragma once

#include "exponential.h"  // exp and what is made of it
//
#include "elementwise.h"  // uses the above
#include "outer.h"
//
#include "attention.h"  // use the above
#include "attention_row.h"
#include "dense.h"
#include "pack.h"
#include "packed.h"
#include "peaks.h"

namespace galago::GALAGO_ISA {

inline void fill_vectorised(Kernels& k) {
    k.dense_panel = dense_panel;
    k.dense_scratch = dense_panel * dense_block;
    k.linear_f32 = linear<float>;
    k.linear_bf16 = linear<uint16_t>;
    k.packed_tile = packed_tokens;
    k.packed_layout = packed_layout;
    k.quantise = quantise;
    k.packed_scratch = packed_scratch;
    k.linear_packed = linear_packed<row_streams>;
    k.linear_packed_otherwise = linear_packed<row_streams == 0 ? 0 : 2>;
    k.pack = pack;
    k.rms_norm = rms_norm;
    k.layer_norm = layer_norm;
    k.rotate = rotate;
    k.attention_rows = attention_rows;
    k.attention_scratch = attention_scratch;
    k.attention = attention<>;
    k.attend_row = attend_row;
    k.activate = activate;
    k.silu_mul = silu_mul;
    k.is_finite = is_finite;
    k.peak_f32 = {peak_f32, peak_f32_madds};
    k.read = read<4, 2, true>;
    k.read_straight = read<1, 4, false>;
}

}  // namespace galago::GALAGO_ISA
