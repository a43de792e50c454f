// Dot products of bfloat16 beside AVX-512. Compiled with these instructions: nothing here may run before
// dispatch.cpp has asked. What is not filled here stays that of avx512_vnni.
#define GALAGO_ISA avx512_bf16
#include "vec_avx512.h"
//
#include "exponential.h"  // uses the above, as each of the following does
//
#include "elementwise.h"
//
#include "attention.h"
//
#include "attention_halves.h"
#include "attention_row.h"
#include "peaks.h"
//
#include "peak_bf16.h"  // uses the above

void galago::avx512_bf16::fill(Kernels& k) {
    k.name = "avx512_bf16";
    k.attention_rounded = attention<Halves>;
    k.peak_bf16 = {peak_bf16, peak_bf16_madds};
}
