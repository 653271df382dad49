/* q_iq2.c - decode of IQ2_XXS, IQ2_XS and IQ2_S. */
#include "quant/q_iq2.h"

#include "quant/iq_grids.h"
#include "quant/quant.h"

enum { BLOCK = LM_IQ2_BLOCK };

/* The sign is a factor of its own so that -0 and NaN come out as elsewhere in the field. */
static void decode_point(uint16_t code, uint32_t signs, float scale, float *values)
{
    uint64_t magnitudes = lm_iq2_magnitudes(code);
    for (int i = 0; i < 8; i++)
        values[i] = scale * (float)(magnitudes >> 8 * i & 255) * (signs >> i & 1 ? -1.0f : 1.0f);
}

static float scale_of(lm_half d, uint32_t step)
{
    return lm_half_get(d) * (0.5f + (float)step) * 0.25f;
}

static void iq2_xxs_decode(const void *blocks, float *values, size_t count)
{
    const lm_block_iq2_xxs *b = blocks;
    for (size_t at = 0; at < count; at += BLOCK, b++)
        for (size_t g = 0; g < BLOCK / 8; g++) {
            const uint8_t *quad = b->quads[g / 4];
            uint32_t tail = lm_load_u32(quad + 4);
            uint8_t signs = lm_iq_even_signs(tail >> g % 4 * 7 & 127);
            decode_point(lm_iq2_xxs_codes[quad[g % 4]], signs, scale_of(b->d, tail >> 28),
                         values + at + g * 8);
        }
}

static void iq2_xs_decode(const void *blocks, float *values, size_t count)
{
    const lm_block_iq2_xs *b = blocks;
    for (size_t at = 0; at < count; at += BLOCK, b++)
        for (size_t g = 0; g < BLOCK / 8; g++) {
            uint32_t word = lm_load_u16(b->words[g]);
            uint32_t step = b->steps[g / 4] >> g / 2 % 2 * 4 & 15;
            decode_point(lm_iq2_xs_codes[word & 511], lm_iq_even_signs(word >> 9),
                         scale_of(b->d, step), values + at + g * 8);
        }
}

static void iq2_s_decode(const void *blocks, float *values, size_t count)
{
    const lm_block_iq2_s *b = blocks;
    for (size_t at = 0; at < count; at += BLOCK, b++)
        for (size_t g = 0; g < BLOCK / 8; g++) {
            uint32_t index = b->index[g] | (b->high[g / 4] >> g % 4 * 2 & 3u) << 8;
            uint32_t step = b->steps[g / 4] >> g / 2 % 2 * 4 & 15;
            decode_point(lm_iq2_s_codes[index], b->signs[g], scale_of(b->d, step),
                         values + at + g * 8);
        }
}

const lm_format lm_formats_iq2[] = {
    {LM_IQ2_XXS, "iq2_xxs", BLOCK, sizeof(lm_block_iq2_xxs), iq2_xxs_decode, NULL},
    {LM_IQ2_XS, "iq2_xs", BLOCK, sizeof(lm_block_iq2_xs), iq2_xs_decode, NULL},
    {LM_IQ2_S, "iq2_s", BLOCK, sizeof(lm_block_iq2_s), iq2_s_decode, NULL},
    {0},
};
