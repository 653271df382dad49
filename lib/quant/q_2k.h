/* q_2k - Q2_K: 256 values in 16 groups of 16, each with a 4-bit scale and a 4-bit offset.
 *
 *   value = d * scale * q - m * offset          q in 0..3
 *
 * Value 128h + 32j + l is in q[32h + l], bits 2j and 2j + 1. */
#ifndef LM_QUANT_Q_2K_H
#define LM_QUANT_Q_2K_H

#include "quant/layout.h"

typedef struct lm_block_q2_k {
    uint8_t scale[16]; /* low nibble scale, high nibble offset */
    uint8_t q[64];
    lm_half d, m;
} lm_block_q2_k;
LM_BLOCK_SIZE(lm_block_q2_k, 84);

#endif
