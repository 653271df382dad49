/* q_6k.c - decode and encode of Q6_K. */
#include "quant/q_6k.h"

#include "quant/families.h"
#include "quant/k_search.h"

static void decode(const void *blocks, float *values, size_t count)
{
    const lm_block_q6_k *b = blocks;
    for (size_t i = 0; i < count; i += LM_K_BLOCK, b++) {
        float d = lm_half_get(b->d);
        for (int k = 0; k < LM_K_BLOCK; k++) {
            int h = k / 128, j = k % 128 / 32, l = k % 32;
            int low = b->low[64 * h + 32 * (j % 2) + l] >> (j / 2 * 4) & 15;
            int high = b->high[32 * h + l] >> (2 * j) & 3;
            float step = d * (float)b->scale[k / 16];
            values[i + (size_t)k] = step * (float)((low | high << 4) - 32);
        }
    }
}

static const lm_k_shape shape = {.grid = {-32.0f, 31.0f, NULL, 0},
                                 .group = 16,
                                 .scale_low = -128,
                                 .scale_high = 127,
                                 .affine = false,
                                 .evenness = 0.25f};

static void encode(const float *values, const float *importance, void *blocks, size_t count)
{
    lm_block_q6_k *b = blocks;
    for (size_t i = 0; i < count; i += LM_K_BLOCK, b++) {
        lm_k_choice c;
        lm_k_choose(&shape, values + i, importance ? importance + i : NULL, &c);
        *b = (lm_block_q6_k){.d = c.d};
        for (int g = 0; g < 16; g++)
            b->scale[g] = (int8_t)c.scale[g];
        for (int k = 0; k < LM_K_BLOCK; k++) {
            int h = k / 128, j = k % 128 / 32, l = k % 32, q = (int)c.codes[k] + 32;
            b->low[64 * h + 32 * (j % 2) + l] |= (uint8_t)((q & 15) << (j / 2 * 4));
            b->high[32 * h + l] |= (uint8_t)(q >> 4 << (2 * j));
        }
    }
}

const lm_format lm_formats_6k[] = {
    {LM_Q6_K, "q6_k", LM_K_BLOCK, sizeof(lm_block_q6_k), decode, encode},
    {0},
};
