// AMX tiles of int8, beside AVX-512. Compiled with these instructions: nothing here may run before dispatch.cpp
// has asked, the operating system too. What is not filled here stays that of avx512_vnni.
#define GALAGO_ISA amx
#include "vec_avx512.h"
//
#include "packed.h"  // uses the above
//
#include "tiles.h"  // uses the above

void galago::amx::fill(Kernels& k) {
    k.name = "amx";
    k.packed_tile = tile_tokens;
    k.packed_cache = 3 << 19;  // LOG 2026-11-28
    k.packed_most = 1 << 20;
    k.packed_layout = tile_layout;
    k.quantise = quantise_tiles;
    k.packed_scratch = tile_scratch;
    k.linear_packed = k.linear_packed_otherwise = linear_tiles;
    k.peak_int8 = {peak_of_tiles, peak_tile_madds};
}
