/* q_5k - Q5_K: Q4_K with a fifth bit: that of value l of group g is bit g of high[l].
 *
 *   value = d * scale * q - m * offset          q in 0..31 */
#ifndef LM_QUANT_Q_5K_H
#define LM_QUANT_Q_5K_H

#include "quant/q_4k.h"

typedef struct lm_block_q5_k {
    lm_half d, m;
    uint8_t scale[12]; /* see lm_q4_k_scale */
    uint8_t high[32];
    uint8_t q[128];
} lm_block_q5_k;
LM_BLOCK_SIZE(lm_block_q5_k, 176);

#endif
