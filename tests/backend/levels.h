/* levels - the instruction sets that tests of kernels try, and numbers chosen to hurt. */
#ifndef TEST_BACKEND_LEVELS_H
#define TEST_BACKEND_LEVELS_H

#include "support/support.h"

#include "backends/cpu/kernels/kernels.h"

/* The sets to try: the mask of features each leaves of this processor's. */
typedef struct level_of_features {
    const char *name;
    uint64_t features;
} level_of_features;

extern const level_of_features levels[];
extern const size_t n_levels;

lcpu_kernels kernels_of(size_t level);

enum { NORMAL, TINY, HUGE_ONES, ZEROS, SPIKES, ALTERNATING, KINDS };

void numbers(float *x, size_t n, int kind, uint64_t seed);
bool same_float(float a, float b); /* bits, or both NaN */

#endif
