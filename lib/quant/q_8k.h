/* q_8k - Q8_K: a format of activations, 256 values with one float scale.
 *
 *   value = d * q
 *
 * sum[g] is the sum of the q of values 16g to 16g + 15. */
#ifndef LM_QUANT_Q_8K_H
#define LM_QUANT_Q_8K_H

#include "quant/layout.h"

typedef struct lm_block_q8_k {
    uint8_t d[4]; /* a float */
    int8_t q[256];
    uint8_t sum[16][2]; /* int16 */
} lm_block_q8_k;
LM_BLOCK_SIZE(lm_block_q8_k, 292);

#endif
