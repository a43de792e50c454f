// AVX-512 (F, BW, DQ, VL) with VNNI. Compiled with these instructions: nothing here may run before
// dispatch.cpp has asked.
#define GALAGO_ISA avx512_vnni
#include "vec_avx512.h"
//
#include "vectorised.h"
//
#include "peak_int8.h"  // uses the above

void galago::avx512_vnni::fill(Kernels& k) {
    k.name = "avx512_vnni";
    fill_vectorised(k);
    k.packed_cache = 4 << 20;  // LOG 2026-11-28, as the next
    k.packed_most = 648;
    k.peak_int8 = {peak_int8, peak_int8_madds};
}
