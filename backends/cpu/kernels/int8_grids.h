/* int8_grids - blocks of the IQ formats as the int8 family sees them, see int8_rows.h. A point of a
 * grid is eight or four bytes; signs are applied to all of them at once. */
#ifndef LM_BACKENDS_CPU_KERNELS_INT8_GRIDS_H
#define LM_BACKENDS_CPU_KERNELS_INT8_GRIDS_H

#include "backends/cpu/kernels/int8_rows.h"
#include "quant/iq_grids.h"

/* Eight bytes below 128, negative where a bit of `signs` is set. */
static inline void lcpu_signed_bytes(uint64_t bytes, uint32_t signs, int8_t *q)
{
    for (uint32_t i = 0; i < 8; i++) {
        int magnitude = (int)(bytes >> 8 * i & 127);
        q[i] = (int8_t)((signs >> i & 1) != 0 ? -magnitude : magnitude);
    }
}

static inline void lcpu_block_iq3_s(const lm_block_iq3_s *w, lcpu_int8_block *b)
{
    float d = lm_half_get(w->d);
    for (uint32_t g = 0; g < 8; g++) {
        for (uint32_t i = 0; i < 4; i++) {
            const uint8_t *index = w->index + 8 * g + 2 * i;
            uint32_t high = (uint32_t)w->high[g] >> 2 * i;
            uint64_t low_half = lm_iq3_s_magnitudes(lm_iq3_s_codes[index[0] | (high & 1) << 8]);
            uint64_t high_half = lm_iq3_s_magnitudes(lm_iq3_s_codes[index[1] | (high & 2) << 7]);
            lcpu_signed_bytes(low_half | high_half << 32, w->signs[4 * g + i], b[g].q + 8 * i);
        }
        lcpu_int8_head(&b[g], d * (float)(2 * (w->steps[g / 2] >> g % 2 * 4 & 15) + 1), 0);
    }
}

static inline void lcpu_block_iq3_xxs(const lm_block_iq3_xxs *w, lcpu_int8_block *b)
{
    float d = lm_half_get(w->d) * 0.25f;
    for (uint32_t g = 0; g < 8; g++) {
        uint32_t tail = lm_load_u32(w->tails[g]);
        for (uint32_t i = 0; i < 4; i++) {
            const uint8_t *index = w->index + 8 * g + 2 * i;
            uint64_t low_half = lm_iq3_xxs_magnitudes(lm_iq3_xxs_codes[index[0]]);
            uint64_t high_half = lm_iq3_xxs_magnitudes(lm_iq3_xxs_codes[index[1]]);
            lcpu_signed_bytes(low_half | high_half << 32, lm_iq_even_signs(tail >> 7 * i & 127),
                              b[g].q + 8 * i);
        }
        lcpu_int8_head(&b[g], d * (float)(2 * (tail >> 28) + 1), 0);
    }
}

static inline void lcpu_block_iq2_xxs(const lm_block_iq2_xxs *w, lcpu_int8_block *b)
{
    float d = lm_half_get(w->d) * 0.125f;
    for (uint32_t g = 0; g < 8; g++) {
        uint32_t tail = lm_load_u32(w->quads[g] + 4);
        for (uint32_t i = 0; i < 4; i++)
            lcpu_signed_bytes(lm_iq2_magnitudes(lm_iq2_xxs_codes[w->quads[g][i]]),
                              lm_iq_even_signs(tail >> 7 * i & 127), b[g].q + 8 * i);
        lcpu_int8_head(&b[g], d * (float)(2 * (tail >> 28) + 1), 0);
    }
}

/* Scales of IQ2_XS and IQ2_S: a nibble for each sixteen. */
static inline void lcpu_iq2_halves(lcpu_int8_block *b, lm_half d, uint8_t steps)
{
    float eighth = lm_half_get(d) * 0.125f;
    lcpu_int8_halves(b, eighth * (float)(2 * (steps & 15) + 1),
                     eighth * (float)(2 * (steps >> 4) + 1));
}

static inline void lcpu_block_iq2_xs(const lm_block_iq2_xs *w, lcpu_int8_block *b)
{
    for (uint32_t g = 0; g < 8; g++) {
        for (uint32_t i = 0; i < 4; i++) {
            uint32_t word = lm_load_u16(w->words[4 * g + i]);
            lcpu_signed_bytes(lm_iq2_magnitudes(lm_iq2_xs_codes[word & 511]),
                              lm_iq_even_signs(word >> 9), b[g].q + 8 * i);
        }
        lcpu_iq2_halves(&b[g], w->d, w->steps[g]);
    }
}

static inline void lcpu_block_iq2_s(const lm_block_iq2_s *w, lcpu_int8_block *b)
{
    for (uint32_t g = 0; g < 8; g++) {
        for (uint32_t i = 0; i < 4; i++) {
            uint32_t index = w->index[4 * g + i] | (w->high[g] >> 2 * i & 3u) << 8;
            lcpu_signed_bytes(lm_iq2_magnitudes(lm_iq2_s_codes[index]), w->signs[4 * g + i],
                              b[g].q + 8 * i);
        }
        lcpu_iq2_halves(&b[g], w->d, w->steps[g]);
    }
}

/* Eight times (coordinate + shift). */
static inline void lcpu_iq1_bytes(uint32_t index, int shift, int8_t *q)
{
    uint64_t levels = lm_iq_spread2(lm_iq1_codes[index]);
    for (uint32_t i = 0; i < 8; i++)
        q[i] = (int8_t)(8 * (int)(levels >> 8 * i & 3) - 8 + shift);
}

static inline void lcpu_block_iq1_s(const lm_block_iq1_s *w, lcpu_int8_block *b)
{
    float d = lm_half_get(w->d) * 0.125f;
    for (uint32_t g = 0; g < 8; g++) {
        uint32_t high = lm_load_u16(w->high + 2 * g);
        for (uint32_t i = 0; i < 4; i++)
            lcpu_iq1_bytes(w->index[4 * g + i] | (high >> 3 * i & 7) << 8, high >> 15 ? -1 : 1,
                           b[g].q + 8 * i);
        lcpu_int8_head(&b[g], d * (float)(2 * (high >> 12 & 7) + 1), 0);
    }
}

static inline void lcpu_block_iq1_m(const lm_block_iq1_m *w, lcpu_int8_block *b)
{
    uint32_t bits = 0;
    for (uint32_t i = 0; i < 4; i++)
        bits |= (uint32_t)(w->scales[2 * i + 1] >> 4) << 4 * i;
    float d = lm_f16_to_f32((uint16_t)bits) * 0.125f;
    for (uint32_t g = 0; g < 8; g++) {
        uint32_t steps = (uint32_t)lm_load_u16(w->scales + g / 2 * 2) >> g % 2 * 6;
        for (uint32_t i = 0; i < 4; i++) {
            uint32_t high = w->high[2 * g + i / 2] >> i % 2 * 4 & 15;
            lcpu_iq1_bytes(w->index[4 * g + i] | (high & 7) << 8, high & 8 ? -1 : 1,
                           b[g].q + 8 * i);
        }
        lcpu_int8_halves(&b[g], d * (float)(2 * (steps & 7) + 1),
                         d * (float)(2 * (steps >> 3 & 7) + 1));
    }
}

#endif
