// NEON with dot products of bytes (SDOT, UDOT), as in the Cortex-A76 and A78. Compiled with these
// instructions: nothing here may run before dispatch.cpp has asked.
#define GALAGO_ISA neon_dotprod
#include "vec_neon.h"
//
#include "dots_neon_dotprod.h"
//
#include "vectorised.h"
//
#include "peak_int8.h"  // uses the above

void galago::neon_dotprod::fill(Kernels& k) {
    k.name = "neon_dotprod";
    fill_vectorised(k);
    k.peak_int8 = {peak_int8, peak_int8_madds};
}
