/* q_iq1.c - decode of IQ1_S and IQ1_M. */
#include "quant/q_iq1.h"

#include "quant/iq_grids.h"
#include "quant/quant.h"

enum { BLOCK = LM_IQ1_BLOCK };

static void decode_point(uint32_t index, float scale, float shift, float *values)
{
    uint64_t levels = lm_iq_spread2(lm_iq1_codes[index]);
    for (int i = 0; i < 8; i++)
        values[i] = scale * ((float)(levels >> 8 * i & 3) - 1.0f + shift);
}

static void iq1_s_decode(const void *blocks, float *values, size_t count)
{
    const lm_block_iq1_s *b = blocks;
    for (size_t at = 0; at < count; at += BLOCK, b++) {
        float d = lm_half_get(b->d);
        for (size_t g = 0; g < BLOCK / 8; g++) {
            uint32_t high = lm_load_u16(&b->high[g / 4 * 2]);
            float scale = d * (float)(2 * (high >> 12 & 7) + 1);
            float shift = high >> 15 ? -0.125f : 0.125f;
            uint32_t index = b->index[g] | (high >> g % 4 * 3 & 7) << 8;
            decode_point(index, scale, shift, values + at + g * 8);
        }
    }
}

static void iq1_m_decode(const void *blocks, float *values, size_t count)
{
    const lm_block_iq1_m *b = blocks;
    for (size_t at = 0; at < count; at += BLOCK, b++) {
        uint32_t bits = 0;
        for (size_t i = 0; i < 4; i++)
            bits |= (uint32_t)(b->scales[2 * i + 1] >> 4) << 4 * i;
        float d = lm_f16_to_f32((uint16_t)bits);
        for (size_t g = 0; g < BLOCK / 8; g++) {
            uint32_t step = lm_load_u16(&b->scales[g / 8 * 2]) >> g / 2 % 4 * 3 & 7;
            uint32_t high = b->high[g / 2] >> g % 2 * 4 & 15;
            float shift = high & 8 ? -0.125f : 0.125f;
            uint32_t index = b->index[g] | (high & 7) << 8;
            decode_point(index, d * (float)(2 * step + 1), shift, values + at + g * 8);
        }
    }
}

const lm_format lm_formats_iq1[] = {
    {LM_IQ1_S, "iq1_s", BLOCK, sizeof(lm_block_iq1_s), iq1_s_decode, NULL},
    {LM_IQ1_M, "iq1_m", BLOCK, sizeof(lm_block_iq1_m), iq1_m_decode, NULL},
    {0},
};
