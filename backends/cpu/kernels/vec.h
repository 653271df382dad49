/* vec - sixteen lanes as four vectors of four, in the vector types that gcc and clang share. They
 * become SSE2 or NEON registers, or scalars where there are none, so this is still the portable
 * set. */
#ifndef LM_BACKENDS_CPU_KERNELS_VEC_H
#define LM_BACKENDS_CPU_KERNELS_VEC_H

#include "backends/cpu/kernels/math.h"

#define LCPU_LANES 16u

typedef float lcpu_v4 __attribute__((vector_size(16)));
typedef uint32_t lcpu_u4 __attribute__((vector_size(16)));
typedef uint16_t lcpu_h4 __attribute__((vector_size(8)));

typedef struct lcpu_lanes {
    lcpu_v4 a, b, c, d;
} lcpu_lanes;

static inline lcpu_v4 lcpu_load4(const float *x)
{
    lcpu_v4 v;
    memcpy(&v, x, sizeof v);
    return v;
}

static inline lcpu_lanes lcpu_load16(const float *x)
{
    return (lcpu_lanes){lcpu_load4(x), lcpu_load4(x + 4), lcpu_load4(x + 8), lcpu_load4(x + 12)};
}

/* The first `count` of sixteen, zeros behind: zeros change no sum. */
static inline lcpu_lanes lcpu_load_some(const float *x, uint32_t count)
{
    float padded[LCPU_LANES] = {0};
    memcpy(padded, x, count * sizeof *x);
    return lcpu_load16(padded);
}

/* sum + x * y, each operation rounded. */
static inline lcpu_lanes lcpu_mac16(lcpu_lanes sum, lcpu_lanes x, lcpu_lanes y)
{
    return (lcpu_lanes){sum.a + x.a * y.a, sum.b + x.b * y.b, sum.c + x.c * y.c, sum.d + x.d * y.d};
}

/* The fixed tree over the lanes. */
static inline float lcpu_reduce16(lcpu_lanes s)
{
    lcpu_v4 four = (s.a + s.c) + (s.b + s.d);
    return (four[0] + four[2]) + (four[1] + four[3]);
}

#endif
