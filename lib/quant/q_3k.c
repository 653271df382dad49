/* q_3k.c - decode and encode of Q3_K. */
#include "quant/q_3k.h"

#include "quant/families.h"
#include "quant/k_search.h"

static void decode(const void *blocks, float *values, size_t count)
{
    const lm_block_q3_k *b = blocks;
    for (size_t i = 0; i < count; i += LM_K_BLOCK, b++) {
        float d = lm_half_get(b->d);
        for (int k = 0; k < LM_K_BLOCK; k++) {
            float step = d * (float)lm_q3_k_scale(b->scale, k / 16);
            int low = b->q[k / 128 * 32 + k % 32] >> (k % 128 / 32 * 2) & 3;
            int high = b->high[k % 32] >> (k / 32) & 1;
            values[i + (size_t)k] = step * (float)((low | high << 2) - 4);
        }
    }
}

static const lm_k_shape shape = {.grid = {-4.0f, 3.0f, NULL, 0},
                                 .group = 16,
                                 .scale_low = -32,
                                 .scale_high = 31,
                                 .affine = false,
                                 .evenness = 0.25f};

static void encode(const float *values, const float *importance, void *blocks, size_t count)
{
    lm_block_q3_k *b = blocks;
    for (size_t i = 0; i < count; i += LM_K_BLOCK, b++) {
        lm_k_choice c;
        lm_k_choose(&shape, values + i, importance ? importance + i : NULL, &c);
        *b = (lm_block_q3_k){.d = c.d};
        for (int g = 0; g < 16; g++) {
            int scale = c.scale[g] + 32;
            b->scale[g & 7] |= (uint8_t)((scale & 15) << (g >> 3 << 2));
            b->scale[8 + (g & 3)] |= (uint8_t)(scale >> 4 << (g >> 2 << 1));
        }
        for (int k = 0; k < LM_K_BLOCK; k++) {
            int q = (int)c.codes[k] + 4;
            b->q[k / 128 * 32 + k % 32] |= (uint8_t)((q & 3) << (k % 128 / 32 * 2));
            b->high[k % 32] |= (uint8_t)(q >> 2 << (k / 32));
        }
    }
}

const lm_format lm_formats_3k[] = {
    {LM_Q3_K, "q3_k", LM_K_BLOCK, sizeof(lm_block_q3_k), decode, encode},
    {0},
};
