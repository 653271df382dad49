/* int8_neon_grids - how the IQ formats with grids are read with NEON; see int8_neon_read.h. */
#ifndef LM_BACKENDS_CPU_KERNELS_INT8_NEON_GRIDS_H
#define LM_BACKENDS_CPU_KERNELS_INT8_NEON_GRIDS_H

#include "backends/cpu/kernels/int8_neon_read.h"
#include "quant/iq_grids.h"

/* Sixteen magnitudes, negative where a bit of `signs` is set. */
INLINE int8x16_t with_signs(int8x16_t point, uint32_t signs)
{
    static const uint8_t first[16] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1},
                         bits[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    uint8x16_t x = vreinterpretq_u8_u16(vdupq_n_u16((uint16_t)signs));
    int8x16_t minus = sign(vtstq_u8(vqtbl1q_u8(x, bytes16(first)), bytes16(bits)));
    return vsubq_s8(veorq_s8(point, minus), minus);
}

/* Two times seven bits, each completed to eight. */
INLINE uint32_t even_signs(uint32_t low, uint32_t high)
{
    return lm_iq_even_signs(low & 127) | (uint32_t)lm_iq_even_signs(high & 127) << 8;
}

/* The low bytes of words that are shifted so that a level begins in them. */
INLINE uint8x16_t low_bytes(uint16x8_t x, uint16x8_t y, const int16_t shift[8])
{
    int16x8_t by = vld1q_s16(shift);
    return vuzp1q_u8(vreinterpretq_u8_u16(vshlq_u16(x, by)),
                     vreinterpretq_u8_u16(vshlq_u16(y, by)));
}

/* Two points of eight levels 0 to 3, through a table of what they mean. */
INLINE int8x16_t eight_levels(const uint16_t *first, const uint16_t *second, const int8_t table[16])
{
    static const int16_t shift[8] = {0, -2, -4, -6, -8, -10, -12, -14};
    uint8x16_t x = low_bytes(vld1q_dup_u16(first), vld1q_dup_u16(second), shift);
    return vqtbl1q_s8(vld1q_s8(table), vandq_u8(x, vdupq_n_u8(3)));
}

/* Four points of four levels 0 to 7. */
INLINE int8x16_t four_levels(const uint16_t *const code[4], const int8_t table[16])
{
    static const int16_t shift[8] = {0, -3, -6, -9, 0, -3, -6, -9};
    uint8x16_t x = low_bytes(vcombine_u16(vld1_dup_u16(code[0]), vld1_dup_u16(code[1])),
                             vcombine_u16(vld1_dup_u16(code[2]), vld1_dup_u16(code[3])), shift);
    return vqtbl1q_s8(vld1q_s8(table), vandq_u8(x, vdupq_n_u8(7)));
}

/* See iq_grids.h. */
static const int8_t iq3_s_levels[16] = {1, 3, 5, 7, 9, 11, 13, 15},
                    iq3_xxs_levels[16] = {4, 12, 20, 28, 36, 44, 52, 62},
                    iq2_levels[16] = {8, 25, 43}, iq1_levels[16] = {-8, 0, 8};

INLINE float odd_step(uint32_t step)
{
    return (float)(2 * step + 1);
}

HEAD_OF(iq3_s)
{
    const lm_block_iq3_s *w = block;
    float d = half_of(w->d);
    for (uint32_t g = 0; g < 8; g++)
        h->scale[g * h->step] = d * odd_step(w->steps[g / 2] >> g % 2 * 4 & 15u);
}

BYTES_OF(iq3_s)
{
    const lm_block_iq3_s *w = block;
    EACH (i, 2) {
        const uint8_t *index = w->index + 8 * g + 4 * i;
        uint32_t high = (uint32_t)w->high[g] << 8 >> 4 * i;
        const uint16_t *code[4];
        EACH (n, 4)
            code[n] = &lm_iq3_s_codes[index[n] | (high >> n & 0x100)];
        q[i] = with_signs(four_levels(code, iq3_s_levels), lm_load_u16(w->signs + 4 * g + 2 * i));
    }
}

HEAD_OF(iq3_xxs)
{
    const lm_block_iq3_xxs *w = block;
    float d = half_of(w->d) * 0.25f;
    for (uint32_t g = 0; g < 8; g++)
        h->scale[g * h->step] = d * odd_step(lm_load_u32(w->tails[g]) >> 28);
}

BYTES_OF(iq3_xxs)
{
    const lm_block_iq3_xxs *w = block;
    uint32_t tail = lm_load_u32(w->tails[g]);
    EACH (i, 2) {
        const uint8_t *index = w->index + 8 * g + 4 * i;
        const uint16_t *code[4];
        EACH (n, 4)
            code[n] = &lm_iq3_xxs_codes[index[n]];
        q[i] = with_signs(four_levels(code, iq3_xxs_levels),
                          even_signs(tail >> 14 * i, tail >> (14 * i + 7)));
    }
}

HEAD_OF(iq2_xxs)
{
    const lm_block_iq2_xxs *w = block;
    float d = half_of(w->d) * 0.125f;
    for (uint32_t g = 0; g < 8; g++)
        h->scale[g * h->step] = d * odd_step(lm_load_u32(w->quads[g] + 4) >> 28);
}

BYTES_OF(iq2_xxs)
{
    const lm_block_iq2_xxs *w = block;
    uint32_t tail = lm_load_u32(w->quads[g] + 4);
    EACH (i, 2) {
        const uint8_t *index = w->quads[g] + 2 * i;
        q[i] = with_signs(
            eight_levels(&lm_iq2_xxs_codes[index[0]], &lm_iq2_xxs_codes[index[1]], iq2_levels),
            even_signs(tail >> 14 * i, tail >> (14 * i + 7)));
    }
}

/* A nibble for each sixteen. */
INLINE void iq2_scales(lm_half half, const uint8_t steps[8], const heads *h)
{
    float d = half_of(half) * 0.125f;
    for (uint32_t i = 0; i < 16; i++)
        h->scale[i * h->step] = d * odd_step(steps[i / 2] >> i % 2 * 4 & 15u);
}

HEAD_OF(iq2_xs)
{
    const lm_block_iq2_xs *w = block;
    iq2_scales(w->d, w->steps, h);
}

BYTES_OF(iq2_xs)
{
    const lm_block_iq2_xs *w = block;
    EACH (i, 2) {
        uint32_t a = lm_load_u16(w->words[4 * g + 2 * i]);
        uint32_t b = lm_load_u16(w->words[4 * g + 2 * i + 1]);
        q[i] = with_signs(
            eight_levels(&lm_iq2_xs_codes[a & 511], &lm_iq2_xs_codes[b & 511], iq2_levels),
            even_signs(a >> 9, b >> 9));
    }
}

HEAD_OF(iq2_s)
{
    const lm_block_iq2_s *w = block;
    iq2_scales(w->d, w->steps, h);
}

BYTES_OF(iq2_s)
{
    const lm_block_iq2_s *w = block;
    EACH (i, 2) {
        const uint8_t *index = w->index + 4 * g + 2 * i;
        uint32_t high = (uint32_t)w->high[g] >> 4 * i;
        q[i] = with_signs(eight_levels(&lm_iq2_s_codes[index[0] | (high & 3) << 8],
                                       &lm_iq2_s_codes[index[1] | (high & 12) << 6], iq2_levels),
                          lm_load_u16(w->signs + 4 * g + 2 * i));
    }
}

/* Sixteen levels of IQ1, eight times as large, and the shifts of each eight. */
INLINE int8x16_t iq1_sixteen(const uint8_t index[2], uint32_t first, uint32_t second, int shift[2])
{
    int8x16_t point = eight_levels(&lm_iq1_codes[index[0] | (first & 7) << 8],
                                   &lm_iq1_codes[index[1] | (second & 7) << 8], iq1_levels);
    return vaddq_s8(point, vcombine_s8(vdup_n_s8((int8_t)shift[0]), vdup_n_s8((int8_t)shift[1])));
}

HEAD_OF(iq1_s)
{
    const lm_block_iq1_s *w = block;
    float d = half_of(w->d) * 0.125f;
    for (uint32_t g = 0; g < 8; g++)
        h->scale[g * h->step] = d * odd_step(lm_load_u16(w->high + 2 * g) >> 12 & 7);
}

BYTES_OF(iq1_s)
{
    const lm_block_iq1_s *w = block;
    uint32_t high = lm_load_u16(w->high + 2 * g);
    int shift = high >> 15 != 0 ? -1 : 1;
    EACH (i, 2)
        q[i] = iq1_sixteen(w->index + 4 * g + 2 * i, high >> 6 * i, high >> (6 * i + 3),
                           (int[2]){shift, shift});
}

HEAD_OF(iq1_m)
{
    const lm_block_iq1_m *w = block;
    uint32_t bits = 0;
    for (uint32_t i = 0; i < 4; i++)
        bits |= (uint32_t)(w->scales[2 * i + 1] >> 4) << 4 * i;
    float d = lm_f16_to_f32((uint16_t)bits) * 0.125f;
    for (uint32_t i = 0; i < 16; i++)
        h->scale[i * h->step] =
            d * odd_step((uint32_t)lm_load_u16(w->scales + i / 4 * 2) >> i % 4 * 3 & 7);
}

BYTES_OF(iq1_m)
{
    const lm_block_iq1_m *w = block;
    EACH (i, 2) {
        uint32_t high = w->high[2 * g + i];
        q[i] = iq1_sixteen(w->index + 4 * g + 2 * i, high, high >> 4,
                           (int[2]){(high & 8) != 0 ? -1 : 1, (high & 128) != 0 ? -1 : 1});
    }
}

#endif
