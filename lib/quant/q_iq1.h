/* q_iq1 - IQ1_S and IQ1_M: eight values share one of 2048 points with coordinates -1, 0, 1, shifted
 * together by +1/8 or -1/8.
 *
 *   value = d * (2 * step + 1) * (coordinate + shift)
 *
 * IQ1_S  one word of `high` for 32 values: bits 0-11 the upper 3 bits of four indices, 12-14 the
 *        step, 15 set for the shift -1/8.
 * IQ1_M  one nibble of `high` for 8 values: bits 0-2 the upper bits of the index, 3 set for the
 *        shift -1/8. Four words of `scales`: four 3-bit steps, one for 16 values, and in the top
 *        nibbles of the words the half float d, its lowest nibble first. */
#ifndef LM_QUANT_Q_IQ1_H
#define LM_QUANT_Q_IQ1_H

#include "quant/layout.h"

enum { LM_IQ1_BLOCK = 256 };

typedef struct lm_block_iq1_s {
    lm_half d;
    uint8_t index[32];
    uint8_t high[16];
} lm_block_iq1_s;
LM_BLOCK_SIZE(lm_block_iq1_s, 50);

typedef struct lm_block_iq1_m {
    uint8_t index[32];
    uint8_t high[16];
    uint8_t scales[8];
} lm_block_iq1_m;
LM_BLOCK_SIZE(lm_block_iq1_m, 56);

#endif
