/* math - the exponential and the hyperbolic tangent of docs/numerics.md, written without branches
 * so that loops over them become vector code. */
#ifndef LM_BACKENDS_CPU_KERNELS_MATH_H
#define LM_BACKENDS_CPU_KERNELS_MATH_H

#include "base/half.h"

#include <math.h>

#define LCPU_EXP_LOW  -87.33f /* 0 below */
#define LCPU_EXP_HIGH 88.37f  /* infinity above */

static inline float lcpu_exp(float x)
{
    /* NaN fails both comparisons and is put back at the end. */
    float inside = x > LCPU_EXP_LOW ? x : LCPU_EXP_LOW;
    inside = inside < LCPU_EXP_HIGH ? inside : LCPU_EXP_HIGH;
    /* Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits. */
    float shifted = inside * 1.44269504088896341f + 12582912.0f;
    float n = shifted - 12582912.0f;
    float r = (inside - n * 0.693359375f) - n * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    uint32_t exponent = (lm_f32_bits(shifted) - 0x4b400000u + 127u) << 23;
    float y = p * lm_f32_from_bits(exponent);
    y = x < LCPU_EXP_LOW ? 0.0f : y;
    y = x > LCPU_EXP_HIGH ? INFINITY : y;
    return x != x ? x : y;
}

static inline float lcpu_tanh(float x)
{
    float z = x * x;
    float p = -5.70498872745e-3f;
    p = p * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    float small = p * z * x + x;
    float magnitude = x < 0 ? -x : x;
    float large = 1.0f - 2.0f / (lcpu_exp(magnitude + magnitude) + 1.0f);
    large = x < 0 ? -large : large;
    return magnitude < 0.625f ? small : large;
}

static inline float lcpu_sigmoid(float x)
{
    return 1.0f / (1.0f + lcpu_exp(-x));
}

/* The fixed tree over sixteen lanes. */
static inline float lcpu_tree16(const float lane[16])
{
    float a[8], b[4];
    for (int i = 0; i < 8; i++)
        a[i] = lane[i] + lane[i + 8];
    for (int i = 0; i < 4; i++)
        b[i] = a[i] + a[i + 4];
    return (b[0] + b[2]) + (b[1] + b[3]);
}

#endif
