/* int8_rows - blocks of the file's formats as the int8 family sees them: 32 signed bytes, a whole
 * factor for each sixteen, a scale and a minimum. Plain C, for sets to unpack with where they have
 * nothing faster. */
#ifndef LM_BACKENDS_CPU_KERNELS_INT8_ROWS_H
#define LM_BACKENDS_CPU_KERNELS_INT8_ROWS_H

#include "quant/q_2k.h"
#include "quant/q_3k.h"
#include "quant/q_5k.h"
#include "quant/q_6k.h"
#include "quant/q_fp4.h"
#include "quant/q_iq4.h"
#include "quant/q_legacy.h"
#include "quant/quant.h"

#define LCPU_BLOCK 32u

typedef struct lcpu_int8_block {
    int8_t q[LCPU_BLOCK];
    int32_t half[2];
    float scale;
    float minimum[2]; /* of each sixteen in LCPU_BOTH, else of the block, twice */
} lcpu_int8_block;

/* What a format's blocks have beside the scale. */
enum {
    LCPU_PLAIN,
    LCPU_MINIMA, /* one minimum */
    LCPU_HALVES, /* a factor for each sixteen */
    LCPU_BOTH,   /* a factor and a minimum for each sixteen */
};

/* F(name, format, values per block, block type, kind) */
#define LCPU_INT8_FORMATS(F)                                                                       \
    F(q8_0, LM_Q8_0, 32, lm_block_q8_0, LCPU_PLAIN)                                                \
    F(q4_0, LM_Q4_0, 32, lm_block_q4_0, LCPU_PLAIN)                                                \
    F(q4_1, LM_Q4_1, 32, lm_block_q4_1, LCPU_MINIMA)                                               \
    F(q5_0, LM_Q5_0, 32, lm_block_q5_0, LCPU_PLAIN)                                                \
    F(q5_1, LM_Q5_1, 32, lm_block_q5_1, LCPU_MINIMA)                                               \
    F(q2_k, LM_Q2_K, 256, lm_block_q2_k, LCPU_BOTH)                                                \
    F(q3_k, LM_Q3_K, 256, lm_block_q3_k, LCPU_HALVES)                                              \
    F(q4_k, LM_Q4_K, 256, lm_block_q4_k, LCPU_MINIMA)                                              \
    F(q5_k, LM_Q5_K, 256, lm_block_q5_k, LCPU_MINIMA)                                              \
    F(q6_k, LM_Q6_K, 256, lm_block_q6_k, LCPU_HALVES)                                              \
    F(iq4_nl, LM_IQ4_NL, 32, lm_block_iq4_nl, LCPU_PLAIN)                                          \
    F(iq4_xs, LM_IQ4_XS, 256, lm_block_iq4_xs, LCPU_PLAIN)                                         \
    F(mxfp4, LM_MXFP4, 32, lm_block_mxfp4, LCPU_PLAIN)

static inline void lcpu_int8_head(lcpu_int8_block *b, float scale, float minimum)
{
    b->half[0] = b->half[1] = 1;
    b->scale = scale;
    b->minimum[0] = b->minimum[1] = minimum;
}

static inline void lcpu_block_q8_0(const lm_block_q8_0 *w, lcpu_int8_block *b)
{
    memcpy(b->q, w->q, LCPU_BLOCK);
    lcpu_int8_head(b, lm_half_get(w->d), 0);
}

/* Nibbles of sixteen bytes: the low ones, then the high ones. */
static inline void lcpu_nibbles(const uint8_t *from, int offset, int8_t *q)
{
    for (uint32_t j = 0; j < 16; j++) {
        q[j] = (int8_t)((from[j] & 15) + offset);
        q[j + 16] = (int8_t)((from[j] >> 4) + offset);
    }
}

static inline void lcpu_levels(const uint8_t *from, const int8_t levels[16], int8_t *q)
{
    for (uint32_t j = 0; j < 16; j++) {
        q[j] = levels[from[j] & 15];
        q[j + 16] = levels[from[j] >> 4];
    }
}

static inline void lcpu_fifth_bits(const uint8_t *high, int8_t *q)
{
    for (uint32_t j = 0; j < LCPU_BLOCK; j++)
        q[j] = (int8_t)(q[j] + ((lm_load_u32(high) >> j & 1u) << 4));
}

static inline void lcpu_block_q4_0(const lm_block_q4_0 *w, lcpu_int8_block *b)
{
    lcpu_nibbles(w->q, -8, b->q);
    lcpu_int8_head(b, lm_half_get(w->d), 0);
}

static inline void lcpu_block_q4_1(const lm_block_q4_1 *w, lcpu_int8_block *b)
{
    lcpu_nibbles(w->q, 0, b->q);
    lcpu_int8_head(b, lm_half_get(w->d), -lm_half_get(w->m));
}

static inline void lcpu_block_q5_0(const lm_block_q5_0 *w, lcpu_int8_block *b)
{
    lcpu_nibbles(w->q, -16, b->q);
    lcpu_fifth_bits(w->high, b->q);
    lcpu_int8_head(b, lm_half_get(w->d), 0);
}

static inline void lcpu_block_q5_1(const lm_block_q5_1 *w, lcpu_int8_block *b)
{
    lcpu_nibbles(w->q, 0, b->q);
    lcpu_fifth_bits(w->high, b->q);
    lcpu_int8_head(b, lm_half_get(w->d), -lm_half_get(w->m));
}

static inline void lcpu_block_iq4_nl(const lm_block_iq4_nl *w, lcpu_int8_block *b)
{
    static const int8_t levels[16] = LM_IQ4_LEVELS;
    lcpu_levels(w->q, levels, b->q);
    lcpu_int8_head(b, lm_half_get(w->d), 0);
}

static inline void lcpu_block_iq4_xs(const lm_block_iq4_xs *w, lcpu_int8_block *b)
{
    static const int8_t levels[16] = LM_IQ4_LEVELS;
    float d = lm_half_get(w->d);
    for (int g = 0; g < 8; g++) {
        lcpu_levels(w->q + 16 * g, levels, b[g].q);
        lcpu_int8_head(&b[g], d * (float)lm_iq4_xs_scale(w, g), 0);
    }
}

static inline void lcpu_block_mxfp4(const lm_block_mxfp4 *w, lcpu_int8_block *b)
{
    static const int8_t levels[16] = LM_FP4_LEVELS;
    lcpu_levels(w->q, levels, b->q);
    lcpu_int8_head(b, lm_mxfp4_step(w->scale), 0);
}

static inline void lcpu_block_q2_k(const lm_block_q2_k *w, lcpu_int8_block *b)
{
    float d = lm_half_get(w->d), m = lm_half_get(w->m);
    for (int g = 0; g < 8; g++) {
        const uint8_t *q = w->q + g / 4 * 32;
        for (uint32_t j = 0; j < LCPU_BLOCK; j++)
            b[g].q[j] = (int8_t)(q[j] >> (g % 4 * 2) & 3);
        b[g].scale = d;
        for (int h = 0; h < 2; h++) {
            b[g].half[h] = w->scale[2 * g + h] & 15;
            b[g].minimum[h] = m * (float)(w->scale[2 * g + h] >> 4);
        }
    }
}

static inline void lcpu_block_q3_k(const lm_block_q3_k *w, lcpu_int8_block *b)
{
    float d = lm_half_get(w->d);
    for (int g = 0; g < 8; g++) {
        const uint8_t *q = w->q + g / 4 * 32;
        for (uint32_t j = 0; j < LCPU_BLOCK; j++)
            b[g].q[j] = (int8_t)(((q[j] >> (g % 4 * 2) & 3) | (w->high[j] >> g & 1) << 2) - 4);
        lcpu_int8_head(&b[g], d, 0);
        b[g].half[0] = lm_q3_k_scale(w->scale, 2 * g);
        b[g].half[1] = lm_q3_k_scale(w->scale, 2 * g + 1);
    }
}

static inline void lcpu_block_q4_k(const lm_block_q4_k *w, lcpu_int8_block *b)
{
    float d = lm_half_get(w->d), m = lm_half_get(w->m);
    for (int g = 0; g < 8; g++) {
        uint8_t scale, minimum;
        lm_q4_k_scale(w->scale, g, &scale, &minimum);
        for (uint32_t j = 0; j < LCPU_BLOCK; j++)
            b[g].q[j] = (int8_t)(w->q[g / 2 * 32 + (int)j] >> (g % 2 * 4) & 15);
        lcpu_int8_head(&b[g], d * (float)scale, m * (float)minimum);
    }
}

static inline void lcpu_block_q5_k(const lm_block_q5_k *w, lcpu_int8_block *b)
{
    float d = lm_half_get(w->d), m = lm_half_get(w->m);
    for (int g = 0; g < 8; g++) {
        const uint8_t *q = w->q + g / 2 * 32;
        uint8_t scale, minimum;
        lm_q4_k_scale(w->scale, g, &scale, &minimum);
        for (uint32_t j = 0; j < LCPU_BLOCK; j++)
            b[g].q[j] = (int8_t)((q[j] >> (g % 2 * 4) & 15) | (w->high[j] >> g & 1) << 4);
        lcpu_int8_head(&b[g], d * (float)scale, m * (float)minimum);
    }
}

static inline void lcpu_block_q6_k(const lm_block_q6_k *w, lcpu_int8_block *b)
{
    float d = lm_half_get(w->d);
    for (int g = 0; g < 8; g++) {
        const uint8_t *low = w->low + g / 4 * 64 + g % 2 * 32, *high = w->high + g / 4 * 32;
        int nibble = g % 4 / 2 * 4, pair = g % 4 * 2;
        for (uint32_t j = 0; j < LCPU_BLOCK; j++)
            b[g].q[j] = (int8_t)(((low[j] >> nibble & 15) | (high[j] >> pair & 3) << 4) - 32);
        lcpu_int8_head(&b[g], d, 0);
        b[g].half[0] = w->scale[2 * g];
        b[g].half[1] = w->scale[2 * g + 1];
    }
}

#endif
