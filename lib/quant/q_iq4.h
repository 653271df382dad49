/* q_iq4 - IQ4_NL and IQ4_XS: four-bit codes that index a fixed table of unevenly spaced levels.
 *
 *   IQ4_NL   32 values            value = d * level[q]
 *   IQ4_XS   8 groups of 32       value = d * scale * level[q], scale signed with 6 bits
 *
 * Byte j of a group of 32 holds value j in its low nibble and value j + 16 in its high one. */
#ifndef LM_QUANT_Q_IQ4_H
#define LM_QUANT_Q_IQ4_H

#include "quant/layout.h"

#define LM_IQ4_LEVELS                                                                              \
    {                                                                                              \
        -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113                   \
    }

typedef struct lm_block_iq4_nl {
    lm_half d;
    uint8_t q[16];
} lm_block_iq4_nl;
LM_BLOCK_SIZE(lm_block_iq4_nl, 18);

typedef struct lm_block_iq4_xs {
    lm_half d;
    uint8_t scale_high[2]; /* two bits per group, a little-endian word */
    uint8_t scale_low[4];  /* a nibble per group */
    uint8_t q[128];
} lm_block_iq4_xs;
LM_BLOCK_SIZE(lm_block_iq4_xs, 136);

/* Scale of group g, -32..31. */
static inline int lm_iq4_xs_scale(const lm_block_iq4_xs *b, int g)
{
    int low = b->scale_low[g / 2] >> (g % 2 * 4) & 15;
    int high = lm_load_u16(b->scale_high) >> (2 * g) & 3;
    return (low | high << 4) - 32;
}

#endif
