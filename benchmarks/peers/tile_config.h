/* Put before every file of llama.cpp: GCC 12 tells the optimiser that `_tile_loadconfig` reads 8 bytes where it reads
   64, so that a configuration made just before is not stored, and the instruction faults. */
#if defined(__AMX_TILE__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>
#undef _tile_loadconfig
#define _tile_loadconfig(config) __asm__ volatile("ldtilecfg %0" ::"m"(*(const char (*)[64])(config)))
#endif
