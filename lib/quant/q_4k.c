/* q_4k.c - decode and encode of Q4_K. */
#include "quant/q_4k.h"

#include "quant/families.h"
#include "quant/k_search.h"

static void decode(const void *blocks, float *values, size_t count)
{
    const lm_block_q4_k *b = blocks;
    for (size_t i = 0; i < count; i += LM_K_BLOCK, b++) {
        float d = lm_half_get(b->d), m = lm_half_get(b->m);
        for (int g = 0; g < 8; g++) {
            uint8_t scale, offset;
            lm_q4_k_scale(b->scale, g, &scale, &offset);
            float step = d * (float)scale, less = m * (float)offset;
            const uint8_t *q = b->q + g / 2 * 32;
            float *out = values + i + (size_t)g * 32;
            for (int l = 0; l < 32; l++)
                out[l] = step * (float)(q[l] >> (g % 2 * 4) & 15) - less;
        }
    }
}

static const lm_k_shape shape = {.grid = {0.0f, 15.0f, NULL, 0},
                                 .group = 32,
                                 .scale_low = 0,
                                 .scale_high = 63,
                                 .affine = true,
                                 .evenness = 1.0f};

static void encode(const float *values, const float *importance, void *blocks, size_t count)
{
    lm_block_q4_k *b = blocks;
    for (size_t i = 0; i < count; i += LM_K_BLOCK, b++) {
        lm_k_choice c;
        lm_k_choose(&shape, values + i, importance ? importance + i : NULL, &c);
        *b = (lm_block_q4_k){.d = c.d, .m = c.m};
        lm_q4_k_pack_scales(c.scale, c.offset, b->scale);
        for (int k = 0; k < LM_K_BLOCK; k++)
            b->q[k / 64 * 32 + k % 32] |= (uint8_t)((int)c.codes[k] << (k % 64 / 32 * 4));
    }
}

const lm_format lm_formats_4k[] = {
    {LM_Q4_K, "q4_k", LM_K_BLOCK, sizeof(lm_block_q4_k), decode, encode},
    {0},
};
