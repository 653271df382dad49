/* q_iq2.c - decode, and packing of the encoder's answer, of IQ2_XXS, IQ2_XS and IQ2_S. */
#include "quant/q_iq2.h"

#include "quant/families.h"
#include "quant/iq_encode.h"
#include "quant/iq_grids.h"

#include <string.h>

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

/* The levels of the schemes are the coordinates over 8, so that a value is
 * d * (2 * step + 1) * level. */
static const lm_iq_scheme iq2_xxs_scheme = {
    .codebook = {lm_iq2_xxs_codes, 256, 8, 3},
    .levels = {{1.0f, 3.125f, 5.375f}},
    .shifts = 1,
    .shift_groups = 1,
    .scale_values = 32,
    .steps = 16,
    .even_signs = true,
};

static void iq2_xxs_pack(const lm_iq_block *block, void *out)
{
    lm_block_iq2_xxs *b = out;
    lm_store_u16(b->d.bytes, block->d);
    for (size_t p = 0; p < BLOCK / 32; p++) {
        uint32_t tail = (uint32_t)block->step[p] << 28;
        for (size_t g = 0; g < 4; g++) {
            b->quads[p][g] = (uint8_t)block->index[p * 4 + g];
            tail |= (block->signs[p * 4 + g] & 127u) << 7 * g;
        }
        lm_store_u32(&b->quads[p][4], tail);
    }
}

static void iq2_xxs_encode(const float *values, const float *importance, void *blocks, size_t count)
{
    lm_iq_encode(&iq2_xxs_scheme, values, importance, count, iq2_xxs_pack, sizeof(lm_block_iq2_xxs),
                 blocks);
}

static void pack_steps(const uint8_t *step, uint8_t *out, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)(step[2 * i] | step[2 * i + 1] << 4);
}

static const lm_iq_scheme iq2_xs_scheme = {
    .codebook = {lm_iq2_xs_codes, 512, 8, 3},
    .levels = {{1.0f, 3.125f, 5.375f}},
    .shifts = 1,
    .shift_groups = 1,
    .scale_values = 16,
    .steps = 16,
    .even_signs = true,
};

static void iq2_xs_pack(const lm_iq_block *block, void *out)
{
    lm_block_iq2_xs *b = out;
    lm_store_u16(b->d.bytes, block->d);
    for (size_t g = 0; g < BLOCK / 8; g++)
        lm_store_u16(b->words[g],
                     (uint16_t)(block->index[g] | (uint32_t)(block->signs[g] & 127) << 9));
    pack_steps(block->step, b->steps, sizeof b->steps);
}

static void iq2_xs_encode(const float *values, const float *importance, void *blocks, size_t count)
{
    lm_iq_encode(&iq2_xs_scheme, values, importance, count, iq2_xs_pack, sizeof(lm_block_iq2_xs),
                 blocks);
}

static const lm_iq_scheme iq2_s_scheme = {
    .codebook = {lm_iq2_s_codes, 1024, 8, 3},
    .levels = {{1.0f, 3.125f, 5.375f}},
    .shifts = 1,
    .shift_groups = 1,
    .scale_values = 16,
    .steps = 16,
};

static void iq2_s_pack(const lm_iq_block *block, void *out)
{
    lm_block_iq2_s *b = out;
    memset(b, 0, sizeof *b);
    lm_store_u16(b->d.bytes, block->d);
    for (size_t g = 0; g < BLOCK / 8; g++) {
        b->index[g] = (uint8_t)block->index[g];
        b->signs[g] = block->signs[g];
        b->high[g / 4] |= (uint8_t)(block->index[g] >> 8 << g % 4 * 2);
    }
    pack_steps(block->step, b->steps, sizeof b->steps);
}

static void iq2_s_encode(const float *values, const float *importance, void *blocks, size_t count)
{
    lm_iq_encode(&iq2_s_scheme, values, importance, count, iq2_s_pack, sizeof(lm_block_iq2_s),
                 blocks);
}

const lm_format lm_formats_iq2[] = {
    {LM_IQ2_XXS, "iq2_xxs", BLOCK, sizeof(lm_block_iq2_xxs), iq2_xxs_decode, iq2_xxs_encode},
    {LM_IQ2_XS, "iq2_xs", BLOCK, sizeof(lm_block_iq2_xs), iq2_xs_decode, iq2_xs_encode},
    {LM_IQ2_S, "iq2_s", BLOCK, sizeof(lm_block_iq2_s), iq2_s_decode, iq2_s_encode},
    {0},
};
