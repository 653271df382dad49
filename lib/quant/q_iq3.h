/* q_iq3 - IQ3_XXS and IQ3_S: four values share one of 256 or 512 points with eight levels per
 * coordinate; each value has its own sign.
 *
 *   IQ3_XXS  value = d / 4 * (2 * step + 1) * sign * coordinate    4, 12, 20, ... 52, 62
 *   IQ3_S    value = d * (2 * step + 1) * sign * coordinate        1, 3, 5, ... 15
 *
 * IQ3_XXS  for 32 values eight bytes of indices and a word of `tails`: four times 7 signs (the
 *          eighth makes the number of minus signs even), the step in the top 4 bits.
 * IQ3_S    for 32 values eight bytes of indices, their ninth bits in one byte of `high`, four bytes
 *          of signs and a step, low nibble first. */
#ifndef LM_QUANT_Q_IQ3_H
#define LM_QUANT_Q_IQ3_H

#include "quant/layout.h"

enum { LM_IQ3_BLOCK = 256 };

typedef struct lm_block_iq3_xxs {
    lm_half d;
    uint8_t index[64];
    uint8_t tails[8][4];
} lm_block_iq3_xxs;
LM_BLOCK_SIZE(lm_block_iq3_xxs, 98);

typedef struct lm_block_iq3_s {
    lm_half d;
    uint8_t index[64];
    uint8_t high[8];
    uint8_t signs[32];
    uint8_t steps[4];
} lm_block_iq3_s;
LM_BLOCK_SIZE(lm_block_iq3_s, 110);

#endif
