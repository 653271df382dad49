/* q_iq3.c - decode, and packing of the encoder's answer, of IQ3_XXS and IQ3_S. */
#include "quant/q_iq3.h"

#include "quant/families.h"
#include "quant/iq_encode.h"
#include "quant/iq_grids.h"

#include <string.h>

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

/* The levels are the coordinates over 4, so that a value is d * (2 * step + 1) * level. */
static const lm_iq_scheme iq3_xxs_scheme = {
    .codebook = {lm_iq3_xxs_codes, 256, 4, 8},
    .levels = {{1, 3, 5, 7, 9, 11, 13, 15.5f}},
    .shifts = 1,
    .shift_groups = 1,
    .scale_values = 32,
    .steps = 16,
    .even_signs = true,
};

static void iq3_xxs_pack(const lm_iq_block *block, void *out)
{
    lm_block_iq3_xxs *b = out;
    lm_store_u16(b->d.bytes, block->d);
    for (size_t g = 0; g < BLOCK / 4; g++)
        b->index[g] = (uint8_t)block->index[g];
    for (size_t p = 0; p < BLOCK / 32; p++) {
        uint32_t tail = (uint32_t)block->step[p] << 28;
        for (size_t i = 0; i < 4; i++)
            tail |= (block->signs[p * 4 + i] & 127u) << 7 * i;
        lm_store_u32(b->tails[p], tail);
    }
}

static void iq3_xxs_encode(const float *values, const float *importance, void *blocks, size_t count)
{
    lm_iq_encode(&iq3_xxs_scheme, values, importance, count, iq3_xxs_pack, sizeof(lm_block_iq3_xxs),
                 blocks);
}

static const lm_iq_scheme iq3_s_scheme = {
    .codebook = {lm_iq3_s_codes, 512, 4, 8},
    .levels = {{1, 3, 5, 7, 9, 11, 13, 15}},
    .shifts = 1,
    .shift_groups = 1,
    .scale_values = 32,
    .steps = 16,
};

static void iq3_s_pack(const lm_iq_block *block, void *out)
{
    lm_block_iq3_s *b = out;
    memset(b, 0, sizeof *b);
    lm_store_u16(b->d.bytes, block->d);
    for (size_t g = 0; g < BLOCK / 4; g++) {
        b->index[g] = (uint8_t)block->index[g];
        b->high[g / 8] |= (uint8_t)(block->index[g] >> 8 << g % 8);
    }
    memcpy(b->signs, block->signs, sizeof b->signs);
    for (size_t i = 0; i < sizeof b->steps; i++)
        b->steps[i] = (uint8_t)(block->step[2 * i] | block->step[2 * i + 1] << 4);
}

static void iq3_s_encode(const float *values, const float *importance, void *blocks, size_t count)
{
    lm_iq_encode(&iq3_s_scheme, values, importance, count, iq3_s_pack, sizeof(lm_block_iq3_s),
                 blocks);
}

const lm_format lm_formats_iq3[] = {
    {LM_IQ3_XXS, "iq3_xxs", BLOCK, sizeof(lm_block_iq3_xxs), iq3_xxs_decode, iq3_xxs_encode},
    {LM_IQ3_S, "iq3_s", BLOCK, sizeof(lm_block_iq3_s), iq3_s_decode, iq3_s_encode},
    {0},
};
