/* q_iq2 - IQ2_XXS, IQ2_XS, IQ2_S: eight values share one of 256, 512 or 1024 points with
 * coordinates 8, 25, 43; each value has its own sign.
 *
 *   value = d / 8 * (2 * step + 1) * sign * coordinate
 *
 * IQ2_XXS  for 32 values four bytes of indices and a word: four times 7 signs (the eighth makes the
 *          number of minus signs even), the step in the top 4 bits.
 * IQ2_XS   for 8 values a word: 9 bits of index, 7 signs; one step for 16 values, low nibble first.
 * IQ2_S    for 8 values a byte of index and two more bits in `high`, a byte of signs; steps as in
 *          IQ2_XS. */
#ifndef LM_QUANT_Q_IQ2_H
#define LM_QUANT_Q_IQ2_H

#include "quant/layout.h"

enum { LM_IQ2_BLOCK = 256 };

typedef struct lm_block_iq2_xxs {
    lm_half d;
    uint8_t quads[8][8];
} lm_block_iq2_xxs;
LM_BLOCK_SIZE(lm_block_iq2_xxs, 66);

typedef struct lm_block_iq2_xs {
    lm_half d;
    uint8_t words[32][2];
    uint8_t steps[8];
} lm_block_iq2_xs;
LM_BLOCK_SIZE(lm_block_iq2_xs, 74);

typedef struct lm_block_iq2_s {
    lm_half d;
    uint8_t index[32];
    uint8_t signs[32];
    uint8_t high[8];
    uint8_t steps[8];
} lm_block_iq2_s;
LM_BLOCK_SIZE(lm_block_iq2_s, 82);

#endif
