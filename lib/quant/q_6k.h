/* q_6k - Q6_K: 256 values in 16 groups of 16, each with a signed 8-bit scale.
 *
 *   value = d * scale * (q - 32)                q in 0..63
 *
 * Value 128h + 32j + l has its low four bits in low[64h + 32(j % 2) + l], nibble j / 2, and its
 * high two in high[32h + l] at bit 2j. */
#ifndef LM_QUANT_Q_6K_H
#define LM_QUANT_Q_6K_H

#include "quant/layout.h"

typedef struct lm_block_q6_k {
    uint8_t low[128];
    uint8_t high[64];
    int8_t scale[16];
    lm_half d;
} lm_block_q6_k;
LM_BLOCK_SIZE(lm_block_q6_k, 210);

#endif
