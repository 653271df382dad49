/* q_ternary - TQ1_0 and TQ2_0: 256 values of -d, 0 or d.
 *
 *   value = d * (t - 1)                         t in 0..2
 *
 * TQ2_0: value 128h + 32j + l is in q[32h + l], bits 2j and 2j + 1.
 * TQ1_0: a byte holds five values (those of `last` four) as the fraction 0.t0 t1 t2 t3 t4 in base
 * 3, times 256 and rounded up; see lm_tq1_0_digit. The values of a byte lie `width` apart: value n
 * of byte l is 32n + l for q[0..31], 160 + 16n + l for q[32..47], 240 + 4n + l for last[0..3]. */
#ifndef LM_QUANT_Q_TERNARY_H
#define LM_QUANT_Q_TERNARY_H

#include "quant/layout.h"

typedef struct lm_block_tq1_0 {
    uint8_t q[48];
    uint8_t last[4];
    lm_half d;
} lm_block_tq1_0;
LM_BLOCK_SIZE(lm_block_tq1_0, 54);

typedef struct lm_block_tq2_0 {
    uint8_t q[64];
    lm_half d;
} lm_block_tq2_0;
LM_BLOCK_SIZE(lm_block_tq2_0, 66);

/* Digit n of a byte. */
static inline int lm_tq1_0_digit(uint8_t byte, int n)
{
    static const uint8_t powers[5] = {1, 3, 9, 27, 81};
    uint8_t fraction = (uint8_t)(byte * powers[n]);
    return fraction * 3 >> 8;
}

#endif
