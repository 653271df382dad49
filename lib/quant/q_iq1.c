/* q_iq1.c - decode, and packing of the encoder's answer, of IQ1_S and IQ1_M. */
#include "quant/q_iq1.h"

#include "quant/families.h"
#include "quant/iq_encode.h"
#include "quant/iq_grids.h"

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

static const lm_iq_scheme iq1_s_scheme = {
    .codebook = {lm_iq1_codes, 2048, 8, 3},
    .levels = {{-0.875f, 0.125f, 1.125f}, {-1.125f, -0.125f, 0.875f}},
    .shifts = 2,
    .shift_groups = 4,
    .scale_values = 32,
    .steps = 8,
    .is_signed = true,
};

static void iq1_s_pack(const lm_iq_block *block, void *out)
{
    lm_block_iq1_s *b = out;
    lm_store_u16(b->d.bytes, block->d);
    for (size_t p = 0; p < BLOCK / 32; p++) {
        uint32_t high = (uint32_t)block->step[p] << 12 | (uint32_t)block->shift[p * 4] << 15;
        for (size_t g = 0; g < 4; g++) {
            b->index[p * 4 + g] = (uint8_t)block->index[p * 4 + g];
            high |= (uint32_t)(block->index[p * 4 + g] >> 8) << 3 * g;
        }
        lm_store_u16(&b->high[p * 2], (uint16_t)high);
    }
}

static void iq1_s_encode(const float *values, const float *importance, void *blocks, size_t count)
{
    lm_iq_encode(&iq1_s_scheme, values, importance, count, iq1_s_pack, sizeof(lm_block_iq1_s),
                 blocks);
}

static const lm_iq_scheme iq1_m_scheme = {
    .codebook = {lm_iq1_codes, 2048, 8, 3},
    .levels = {{-0.875f, 0.125f, 1.125f}, {-1.125f, -0.125f, 0.875f}},
    .shifts = 2,
    .shift_groups = 1,
    .scale_values = 16,
    .steps = 8,
    .is_signed = true,
};

static void iq1_m_pack(const lm_iq_block *block, void *out)
{
    lm_block_iq1_m *b = out;
    for (size_t i = 0; i < 16; i++) {
        uint32_t a = block->index[2 * i], c = block->index[2 * i + 1];
        b->index[2 * i] = (uint8_t)a;
        b->index[2 * i + 1] = (uint8_t)c;
        b->high[i] = (uint8_t)(a >> 8 | block->shift[2 * i] << 3 | c >> 8 << 4 |
                               block->shift[2 * i + 1] << 7);
    }
    for (size_t i = 0; i < 4; i++) {
        uint32_t word = (block->d >> 4 * i & 15u) << 12;
        for (size_t j = 0; j < 4; j++)
            word |= (uint32_t)block->step[4 * i + j] << 3 * j;
        lm_store_u16(&b->scales[2 * i], (uint16_t)word);
    }
}

static void iq1_m_encode(const float *values, const float *importance, void *blocks, size_t count)
{
    lm_iq_encode(&iq1_m_scheme, values, importance, count, iq1_m_pack, sizeof(lm_block_iq1_m),
                 blocks);
}

const lm_format lm_formats_iq1[] = {
    {LM_IQ1_S, "iq1_s", BLOCK, sizeof(lm_block_iq1_s), iq1_s_decode, iq1_s_encode},
    {LM_IQ1_M, "iq1_m", BLOCK, sizeof(lm_block_iq1_m), iq1_m_decode, iq1_m_encode},
    {0},
};
