// NEON with products of matrices of bytes (USMMLA), as in Armv8.6 and Armv9 processors. Compiled with these
// instructions: nothing here may run before dispatch.cpp has asked.
#define GALAGO_ISA neon_i8mm
#include "vec_neon.h"
//
#include "dots_neon_i8mm.h"
//
#include "vectorised.h"
//
#include "peak_int8.h"  // uses the above

void galago::neon_i8mm::fill(Kernels& k) {
    k.name = "neon_i8mm";
    fill_vectorised(k);
    k.peak_int8 = {peak_int8, peak_int8_madds};
}
