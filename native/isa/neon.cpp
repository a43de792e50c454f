// NEON, which every 64-bit ARM processor has.
#define GALAGO_ISA neon
#include "vec_neon.h"
//
#include "dots_neon.h"
//
#include "vectorised.h"
//
#include "peak_int8.h"  // uses the above

void galago::neon::fill(Kernels& k) {
    k.name = "neon";
    fill_vectorised(k);
    k.peak_int8 = {peak_int8, peak_int8_madds};
}
