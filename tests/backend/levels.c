/* levels.c - see levels.h. */
#include "backend/levels.h"

#include <math.h>
#include <string.h>

const level_of_features levels[] = {
    {"portable", 0},
#if defined(__aarch64__)
    {"neon", LCPU_NEON},
    {"neon dotprod", LCPU_NEON | LCPU_NEON_DOTPROD},
#else
    {"avx2", LCPU_AVX2},
    {"avx vnni", LCPU_AVX2 | LCPU_AVX_VNNI},
    {"avx512", LCPU_AVX2 | LCPU_AVX512},
    {"avx512 vnni", LCPU_AVX2 | LCPU_AVX512 | LCPU_AVX512_VNNI},
    {"all but amx", ~(uint64_t)(LCPU_AMX_BF16 | LCPU_AMX_INT8)},
#endif
    {"all", ~(uint64_t)0},
};
const size_t n_levels = sizeof levels / sizeof levels[0];

lcpu_kernels kernels_of(size_t level)
{
    lcpu_kernels k;
    lcpu_kernels_init(&k, lcpu_features() & levels[level].features);
    return k;
}

void numbers(float *x, size_t n, int kind, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) {
        double v = test_random_normal(&seed);
        x[i] = (float)(kind == TINY          ? v * 1e-41
                       : kind == HUGE_ONES   ? v * 1e15
                       : kind == ZEROS       ? 0
                       : kind == SPIKES      ? (i % 37 == 5 ? v * 1000 : v * 1e-3)
                       : kind == ALTERNATING ? (i % 2 ? 1 : -1) * (1 + i * 1e-7)
                                             : v);
    }
}

bool same_float(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}
