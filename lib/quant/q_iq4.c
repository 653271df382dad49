/* q_iq4.c - decode and encode of IQ4_NL and IQ4_XS. */
#include "quant/q_iq4.h"

#include "quant/families.h"
#include "quant/k_search.h"

enum { SMALL = 32, LEVELS = 16 };

static const float levels[LEVELS] = LM_IQ4_LEVELS;
static const lm_grid grid = {-127.0f, 113.0f, levels, LEVELS};

static void decode_group(const uint8_t *q, float step, float *values)
{
    for (int j = 0; j < SMALL / 2; j++) {
        values[j] = step * levels[q[j] & 15];
        values[j + SMALL / 2] = step * levels[q[j] >> 4];
    }
}

/* `codes` are levels: the nibble is the number of levels below. */
static void pack_group(const float *codes, uint8_t *q)
{
    uint8_t index[SMALL] = {0};
    for (int k = 0; k < LEVELS - 1; k++)
        for (int j = 0; j < SMALL; j++)
            index[j] = (uint8_t)(index[j] + (codes[j] > levels[k]));
    for (int j = 0; j < SMALL / 2; j++)
        q[j] = (uint8_t)(index[j] | index[j + SMALL / 2] << 4);
}

static void nl_decode(const void *blocks, float *values, size_t count)
{
    const lm_block_iq4_nl *b = blocks;
    for (size_t i = 0; i < count; i += SMALL, b++)
        decode_group(b->q, lm_half_get(b->d), values + i);
}

static void nl_encode(const float *values, const float *importance, void *blocks, size_t count)
{
    lm_block_iq4_nl *b = blocks;
    for (size_t i = 0; i < count; i += SMALL, b++) {
        lm_k_source s;
        float codes[SMALL] = {0}, d = 0.0f;
        *b = (lm_block_iq4_nl){.d = {{0, 0}}};
        lm_k_prepare(values + i, importance ? importance + i : NULL, SMALL, 0.25f, &s);
        lm_group group = {s.x, s.w, SMALL};
        if (!s.empty) {
            b->d = lm_k_nearest_half(lm_search_scale(&grid, group), s.unit, &d);
            lm_search_codes(&grid, group, d, 0.0f, codes);
        }
        pack_group(codes, b->q);
    }
}

static void xs_decode(const void *blocks, float *values, size_t count)
{
    const lm_block_iq4_xs *b = blocks;
    for (size_t i = 0; i < count; i += LM_K_BLOCK, b++) {
        float d = lm_half_get(b->d);
        for (int g = 0; g < 8; g++)
            decode_group(b->q + 16 * g, d * (float)lm_iq4_xs_scale(b, g), values + i + 32 * g);
    }
}

static const lm_k_shape xs_shape = {.grid = {-127.0f, 113.0f, levels, LEVELS},
                                    .group = SMALL,
                                    .scale_low = -32,
                                    .scale_high = 31,
                                    .affine = false,
                                    .evenness = 0.25f};

static void xs_encode(const float *values, const float *importance, void *blocks, size_t count)
{
    lm_block_iq4_xs *b = blocks;
    for (size_t i = 0; i < count; i += LM_K_BLOCK, b++) {
        lm_k_choice c;
        lm_k_choose(&xs_shape, values + i, importance ? importance + i : NULL, &c);
        *b = (lm_block_iq4_xs){.d = c.d};
        uint32_t high = 0;
        for (int g = 0; g < 8; g++) {
            int scale = c.scale[g] + 32;
            b->scale_low[g / 2] |= (uint8_t)((scale & 15) << (g % 2 * 4));
            high |= (uint32_t)scale >> 4 << (2 * g);
            pack_group(c.codes + g * SMALL, b->q + 16 * g);
        }
        lm_store_u16(b->scale_high, (uint16_t)high);
    }
}

const lm_format lm_formats_iq4[] = {
    {LM_IQ4_NL, "iq4_nl", SMALL, sizeof(lm_block_iq4_nl), nl_decode, nl_encode},
    {LM_IQ4_XS, "iq4_xs", LM_K_BLOCK, sizeof(lm_block_iq4_xs), xs_decode, xs_encode},
    {0},
};
