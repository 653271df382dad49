/* math - the exponential and the hyperbolic tangent of docs/numerics.md, written without branches
 * so that loops over them become vector code. */
#ifndef LM_BACKENDS_CPU_KERNELS_MATH_H
#define LM_BACKENDS_CPU_KERNELS_MATH_H

#include "base/half.h"

#include <math.h>

/* The mac of the set this is compiled for. Where every processor has it fused, the portable set still
 * has not, and the others define LCPU_FUSED. */
#if defined(__FMA__) || defined(LCPU_FUSED)
#define LCPU_MAC(x, y, sum) __builtin_fmaf(x, y, sum)
#else
#define LCPU_MAC(x, y, sum) ((x) * (y) + (sum))
#endif

#define LCPU_EXP_LOW   -88.0f /* below -87.68 the power of two is 0 */
#define LCPU_EXP_HIGH  88.37f /* infinity above */
#define LCPU_EXP_LOG2E 1.44269504088896341f
#define LCPU_EXP_MAGIC                                                                             \
    12582912.0f /* adding 1.5 * 2^23 rounds and leaves an integer in the low bits */
#define LCPU_EXP_LN2_A 0.693359375f
#define LCPU_EXP_LN2_B -2.12194440e-4f
#define LCPU_EXP_ONE   0x4b3fff81u /* bits of the magic number less 127 */

static const float lcpu_exp_terms[] = {1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f,
                                       4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f};

static inline float lcpu_exp(float x)
{
    /* NaN fails both comparisons and stays. */
    float inside = LCPU_EXP_LOW > x ? LCPU_EXP_LOW : x;
    inside = LCPU_EXP_HIGH < inside ? LCPU_EXP_HIGH : inside;
    float shifted = LCPU_MAC(inside, LCPU_EXP_LOG2E, LCPU_EXP_MAGIC);
    float n = shifted - LCPU_EXP_MAGIC;
    float r = LCPU_MAC(n, -LCPU_EXP_LN2_A, inside);
    r = LCPU_MAC(n, -LCPU_EXP_LN2_B, r);
    /* Written out: a loop in here would keep compilers from making vector code of the one around. */
    float p = LCPU_MAC(lcpu_exp_terms[0], r, lcpu_exp_terms[1]);
    p = LCPU_MAC(p, r, lcpu_exp_terms[2]);
    p = LCPU_MAC(p, r, lcpu_exp_terms[3]);
    p = LCPU_MAC(p, r, lcpu_exp_terms[4]);
    p = LCPU_MAC(p, r, lcpu_exp_terms[5]);
    p = LCPU_MAC(p, r * r, r) + 1.0f;
    float y = p * lm_f32_from_bits((lm_f32_bits(shifted) - LCPU_EXP_ONE) << 23);
    return x > LCPU_EXP_HIGH ? INFINITY : y;
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
