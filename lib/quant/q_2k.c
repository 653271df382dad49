/* q_2k.c - decode and encode of Q2_K. */
#include "quant/q_2k.h"

#include "quant/families.h"
#include "quant/k_search.h"

static void decode(const void *blocks, float *values, size_t count)
{
    const lm_block_q2_k *b = blocks;
    for (size_t i = 0; i < count; i += LM_K_BLOCK, b++) {
        float d = lm_half_get(b->d), m = lm_half_get(b->m);
        for (int k = 0; k < LM_K_BLOCK; k++) {
            uint8_t scale = b->scale[k / 16];
            float step = d * (float)(scale & 15), offset = m * (float)(scale >> 4);
            int q = b->q[k / 128 * 32 + k % 32] >> (k % 128 / 32 * 2) & 3;
            values[i + (size_t)k] = step * (float)q - offset;
        }
    }
}

static const lm_k_shape shape = {.grid = {0.0f, 3.0f, NULL, 0},
                                 .group = 16,
                                 .scale_low = 0,
                                 .scale_high = 15,
                                 .affine = true,
                                 .evenness = 0.25f};

static void encode(const float *values, const float *importance, void *blocks, size_t count)
{
    lm_block_q2_k *b = blocks;
    for (size_t i = 0; i < count; i += LM_K_BLOCK, b++) {
        lm_k_choice c;
        lm_k_choose(&shape, values + i, importance ? importance + i : NULL, &c);
        *b = (lm_block_q2_k){.d = c.d, .m = c.m};
        for (int g = 0; g < 16; g++)
            b->scale[g] = (uint8_t)(c.scale[g] | c.offset[g] << 4);
        for (int k = 0; k < LM_K_BLOCK; k++)
            b->q[k / 128 * 32 + k % 32] |= (uint8_t)((int)c.codes[k] << (k % 128 / 32 * 2));
    }
}

const lm_format lm_formats_2k[] = {
    {LM_Q2_K, "q2_k", LM_K_BLOCK, sizeof(lm_block_q2_k), decode, encode},
    {0},
};
