// What this machine can do at most: the rates that the kernels are compared with. Knows no Python.
#pragma once

#include "ops.h"

namespace galago::ceilings {

// Multiply-adds in a second of all threads of the pool together, the best of several runs of a few
// milliseconds; 0 where the instruction set has no such loop.
double multiply_adds_per_second(const ops::Place&, const Peak&);

// Bytes in a second that all threads of the pool together read from this memory, which should be far larger
// than the caches: the best of several runs.
double bytes_per_second(const ops::Place&, const uint8_t* memory, int64_t bytes);

}  // namespace galago::ceilings
