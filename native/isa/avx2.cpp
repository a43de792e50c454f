// AVX2 with FMA and F16C. Compiled with these instructions: nothing here may run before dispatch.cpp has
// asked.
#define GALAGO_ISA avx2
#include "vec_avx2.h"
//
#include "vectorised.h"
//
#include "peak_int8.h"  // uses the above

void galago::avx2::fill(Kernels& k) {
    k.name = "avx2";
    fill_vectorised(k);
    k.peak_int8 = {peak_int8, peak_int8_madds};
}
