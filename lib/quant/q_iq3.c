/* q_iq3.c - decode of IQ3_XXS and IQ3_S. */
#include "quant/q_iq3.h"

#include "quant/iq_grids.h"
#include "quant/quant.h"

enum { BLOCK = LM_IQ3_BLOCK };

/* The sign is a factor of its own so that -0 and NaN come out as elsewhere in the field. */
static void decode_point(uint32_t magnitudes, uint32_t signs, float scale, float *values)
{
    for (int i = 0; i < 4; i++)
        values[i] = scale * (float)(magnitudes >> 8 * i & 255) * (signs >> i & 1 ? -1.0f : 1.0f);
}

static void iq3_xxs_decode(const void *blocks, float *values, size_t count)
{
    const lm_block_iq3_xxs *b = blocks;
    for (size_t at = 0; at < count; at += BLOCK, b++)
        for (size_t g = 0; g < BLOCK / 4; g++) {
            uint32_t tail = lm_load_u32(b->tails[g / 8]);
            uint32_t signs = lm_iq_even_signs(tail >> g / 2 % 4 * 7 & 127);
            float scale = lm_half_get(b->d) * (0.5f + (float)(tail >> 28)) * 0.5f;
            decode_point(lm_iq3_xxs_magnitudes(lm_iq3_xxs_codes[b->index[g]]), signs >> g % 2 * 4,
                         scale, values + at + g * 4);
        }
}

static void iq3_s_decode(const void *blocks, float *values, size_t count)
{
    const lm_block_iq3_s *b = blocks;
    for (size_t at = 0; at < count; at += BLOCK, b++)
        for (size_t g = 0; g < BLOCK / 4; g++) {
            uint32_t index = b->index[g] | (b->high[g / 8] >> g % 8 & 1u) << 8;
            uint32_t step = b->steps[g / 16] >> g / 8 % 2 * 4 & 15;
            float scale = lm_half_get(b->d) * (float)(2 * step + 1);
            decode_point(lm_iq3_s_magnitudes(lm_iq3_s_codes[index]), b->signs[g / 2] >> g % 2 * 4,
                         scale, values + at + g * 4);
        }
}

const lm_format lm_formats_iq3[] = {
    {LM_IQ3_XXS, "iq3_xxs", BLOCK, sizeof(lm_block_iq3_xxs), iq3_xxs_decode, NULL},
    {LM_IQ3_S, "iq3_s", BLOCK, sizeof(lm_block_iq3_s), iq3_s_decode, NULL},
    {0},
};
