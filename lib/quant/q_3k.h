/* q_3k - Q3_K: 256 values in 16 groups of 16, each with a signed 6-bit scale.
 *
 *   value = d * scale * (q - 4)                 q in 0..7
 *
 * Value 128h + 32j + l has its low two bits in q[32h + l] at bit 2j and its third in high[l] at bit
 * 4h + j. */
#ifndef LM_QUANT_Q_3K_H
#define LM_QUANT_Q_3K_H

#include "quant/layout.h"

typedef struct lm_block_q3_k {
    uint8_t high[32];
    uint8_t q[64];
    uint8_t scale[12];
    lm_half d;
} lm_block_q3_k;
LM_BLOCK_SIZE(lm_block_q3_k, 110);

/* Scale of group g, -32..31: four bits in the nibbles of bytes 0..7, two in bytes 8..11. */
static inline int lm_q3_k_scale(const uint8_t scale[12], int g)
{
    int low = scale[g & 7] >> (g >> 3 << 2) & 15;
    int high = scale[8 + (g & 3)] >> (g >> 2 << 1) & 3;
    return (low | high << 4) - 32;
}

#endif
