/* int8_fast - the layouts of fast products: activations with one scale for 256 columns, of fourteen
 * bits in two bytes; weights times the integer steps of their parts, in one byte or in two, and one
 * scale. A byte above counts 64 of the one below. See docs/numerics.md. */
#ifndef LM_BACKENDS_CPU_KERNELS_INT8_FAST_H
#define LM_BACKENDS_CPU_KERNELS_INT8_FAST_H

#include "backends/cpu/kernels/kernels.h"

#define FAST_COLS   256u
#define FAST_SHIFT  6u /* from digit to digit */
#define FAST_LINE   64u
#define FAST_STEPS  4u                /* of 64 columns: what matrix registers take together */
#define FAST_DIGIT  (16u * FAST_LINE) /* bytes of one digit of a step's weights, [16][16 rows][4] */
#define FAST_MINIMA (16u * FAST_LINE) /* [16 parts][16 rows][2], BF16: the same one twice */

/* 256 activations. */
typedef struct fast_acts {
    int8_t high[FAST_COLS], low[FAST_COLS];
    uint16_t sums[16][2]; /* of sixteen values, BF16 and what that leaves over, BF16 */
    float scale;
    uint8_t unused[60]; /* rows are at an odd number of lines from each other */
} fast_acts;
_Static_assert(sizeof(fast_acts) == 10 * FAST_LINE, "whole lines of the cache");

/* Sixteen rows of weights, 256 columns: the digits of each step, higher ones first; minima; a line of
 * scales; with minima a line of theirs, negative. */
static inline uint32_t fast_scales_at(uint32_t digits, bool minima)
{
    return FAST_STEPS * digits * FAST_DIGIT + (minima ? FAST_MINIMA : 0);
}

static inline uint32_t fast_panel_bytes(uint32_t digits, bool minima)
{
    return fast_scales_at(digits, minima) + (minima ? 2 : 1) * FAST_LINE;
}

/* F(name, format, kind, digits, shift, scale): formats whose parts have integer steps. Blocks hold d,
 * and that of minima behind it; `scale` times d is what the integers count. Values times steps are
 * shifted up as far as two digits hold them, 8159, so that the product of two low ones, which is left
 * out, is small beside the others. */
#define LCPU_FAST_FORMATS(F)                                                                       \
    F(q2_k, LM_Q2_K, LCPU_HALF_MINIMA, 1, 0, 1.0f)                                                 \
    F(q3_k, LM_Q3_K, LCPU_PLAIN, 1, 0, -1.0f)                                                      \
    F(q4_k, LM_Q4_K, LCPU_MINIMA, 2, 3, 1.0f)                                                      \
    F(q5_k, LM_Q5_K, LCPU_MINIMA, 2, 2, 1.0f)                                                      \
    F(q6_k, LM_Q6_K, LCPU_HALVES, 2, 0, 1.0f)                                                      \
    F(iq4_xs, LM_IQ4_XS, LCPU_PLAIN, 2, 1, 1.0f)                                                   \
    F(iq3_s, LM_IQ3_S, LCPU_PLAIN, 2, 4, 1.0f)                                                     \
    F(iq3_xxs, LM_IQ3_XXS, LCPU_PLAIN, 2, 2, 0.25f)                                                \
    F(iq2_s, LM_IQ2_S, LCPU_HALVES, 2, 2, 0.125f)                                                  \
    F(iq2_xs, LM_IQ2_XS, LCPU_HALVES, 2, 2, 0.125f)                                                \
    F(iq2_xxs, LM_IQ2_XXS, LCPU_PLAIN, 2, 2, 0.125f)                                               \
    F(iq1_s, LM_IQ1_S, LCPU_PLAIN, 2, 5, 0.125f)                                                   \
    F(tq1_0, LM_TQ1_0, LCPU_PLAIN, 1, 0, 1.0f)                                                     \
    F(tq2_0, LM_TQ2_0, LCPU_PLAIN, 1, 0, 1.0f)

/* How each of them becomes panels, in the table's order; in int8_fast_unpack.c. */
typedef void (*fast_unpack_fn)(const uint8_t *from, size_t stride, uint32_t n_w, uint32_t k,
                               void *panels);
extern const fast_unpack_fn lcpu_fast_unpack[];

#endif
