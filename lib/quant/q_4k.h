/* q_4k - Q4_K: 256 values in 8 groups of 32, each with a 6-bit scale and a 6-bit offset.
 *
 *   value = d * scale * q - m * offset          q in 0..15
 *
 * Groups 2p and 2p + 1 share the bytes q[32p..32p + 31]: low nibbles and high nibbles. */
#ifndef LM_QUANT_Q_4K_H
#define LM_QUANT_Q_4K_H

#include "quant/layout.h"

typedef struct lm_block_q4_k {
    lm_half d, m;
    uint8_t scale[12]; /* see lm_q4_k_scale */
    uint8_t q[128];
} lm_block_q4_k;
LM_BLOCK_SIZE(lm_block_q4_k, 144);

/* Scale and offset of group g of Q4_K and Q5_K. Bytes 0..3 hold the scales of groups 0..3, bytes
 * 4..7 their offsets, six bits each; bytes 8..11 hold the low nibbles of scale and offset of groups
 * 4..7, whose upper two bits are the tops of the bytes before. */
static inline void lm_q4_k_scale(const uint8_t scale[12], int g, uint8_t *out_scale,
                                 uint8_t *out_offset)
{
    if (g < 4) {
        *out_scale = scale[g] & 63;
        *out_offset = scale[g + 4] & 63;
        return;
    }
    *out_scale = (uint8_t)((scale[g + 4] & 15) | (scale[g - 4] >> 6 << 4));
    *out_offset = (uint8_t)(scale[g + 4] >> 4 | (scale[g] >> 6 << 4));
}

static inline void lm_q4_k_pack_scales(const int16_t in_scale[8], const int16_t in_offset[8],
                                       uint8_t scale[12])
{
    for (int g = 0; g < 4; g++) {
        int s = in_scale[g + 4], o = in_offset[g + 4];
        scale[g] = (uint8_t)(in_scale[g] | s >> 4 << 6);
        scale[g + 4] = (uint8_t)(in_offset[g] | o >> 4 << 6);
        scale[g + 8] = (uint8_t)((s & 15) | (o & 15) << 4);
    }
}

#endif
