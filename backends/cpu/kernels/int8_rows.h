/* int8_rows - blocks of the file's formats as the int8 family sees them: 32 signed bytes, one scale
 * or one for each sixteen, and minima. Plain C, for sets to unpack with where they have nothing
 * faster. Formats with grids are in int8_grids.h. */
#ifndef LM_BACKENDS_CPU_KERNELS_INT8_ROWS_H
#define LM_BACKENDS_CPU_KERNELS_INT8_ROWS_H

#include "quant/q_2k.h"
#include "quant/q_3k.h"
#include "quant/q_5k.h"
#include "quant/q_6k.h"
#include "quant/q_fp4.h"
#include "quant/q_iq1.h"
#include "quant/q_iq2.h"
#include "quant/q_iq3.h"
#include "quant/q_iq4.h"
#include "quant/q_legacy.h"
#include "quant/q_ternary.h"
#include "quant/quant.h"

#include <math.h>

#define LCPU_BLOCK 32u

typedef struct lcpu_int8_block {
    int8_t q[LCPU_BLOCK];
    float scale[2];   /* of each sixteen in LCPU_HALVES, else of the block, twice */
    float minimum[2]; /* of each sixteen in LCPU_HALF_MINIMA, else of the block, twice */
} lcpu_int8_block;

/* What a format's blocks have. */
enum {
    LCPU_PLAIN,       /* one scale */
    LCPU_MINIMA,      /* one scale, one minimum */
    LCPU_HALVES,      /* a scale for each sixteen */
    LCPU_HALF_MINIMA, /* one scale, a minimum for each sixteen */
};

/* K(name, kind) */
#define LCPU_INT8_KINDS(K)                                                                         \
    K(plain, LCPU_PLAIN)                                                                           \
    K(minima, LCPU_MINIMA)                                                                         \
    K(halves, LCPU_HALVES)                                                                         \
    K(half_minima, LCPU_HALF_MINIMA)

/* An entry of a table of products by kind. */
#define LCPU_INT8_MATMUL(name, kind) [kind] = matmul_##name,

/* F(name, format, values per block, block type, kind) */
#define LCPU_INT8_FORMATS(F)                                                                       \
    F(q8_0, LM_Q8_0, 32, lm_block_q8_0, LCPU_PLAIN)                                                \
    F(q4_0, LM_Q4_0, 32, lm_block_q4_0, LCPU_PLAIN)                                                \
    F(q4_1, LM_Q4_1, 32, lm_block_q4_1, LCPU_MINIMA)                                               \
    F(q5_0, LM_Q5_0, 32, lm_block_q5_0, LCPU_PLAIN)                                                \
    F(q5_1, LM_Q5_1, 32, lm_block_q5_1, LCPU_MINIMA)                                               \
    F(q2_k, LM_Q2_K, 256, lm_block_q2_k, LCPU_HALF_MINIMA)                                         \
    F(q3_k, LM_Q3_K, 256, lm_block_q3_k, LCPU_PLAIN)                                               \
    F(q4_k, LM_Q4_K, 256, lm_block_q4_k, LCPU_MINIMA)                                              \
    F(q5_k, LM_Q5_K, 256, lm_block_q5_k, LCPU_MINIMA)                                              \
    F(q6_k, LM_Q6_K, 256, lm_block_q6_k, LCPU_HALVES)                                              \
    F(iq4_nl, LM_IQ4_NL, 32, lm_block_iq4_nl, LCPU_PLAIN)                                          \
    F(iq4_xs, LM_IQ4_XS, 256, lm_block_iq4_xs, LCPU_PLAIN)                                         \
    F(mxfp4, LM_MXFP4, 32, lm_block_mxfp4, LCPU_PLAIN)                                             \
    F(nvfp4, LM_NVFP4, 64, lm_block_nvfp4, LCPU_HALVES)                                            \
    F(iq3_s, LM_IQ3_S, 256, lm_block_iq3_s, LCPU_PLAIN)                                            \
    F(iq3_xxs, LM_IQ3_XXS, 256, lm_block_iq3_xxs, LCPU_PLAIN)                                      \
    F(iq2_s, LM_IQ2_S, 256, lm_block_iq2_s, LCPU_HALVES)                                           \
    F(iq2_xs, LM_IQ2_XS, 256, lm_block_iq2_xs, LCPU_HALVES)                                        \
    F(iq2_xxs, LM_IQ2_XXS, 256, lm_block_iq2_xxs, LCPU_PLAIN)                                      \
    F(iq1_s, LM_IQ1_S, 256, lm_block_iq1_s, LCPU_PLAIN)                                            \
    F(iq1_m, LM_IQ1_M, 256, lm_block_iq1_m, LCPU_HALVES)                                           \
    F(tq1_0, LM_TQ1_0, 256, lm_block_tq1_0, LCPU_PLAIN)                                            \
    F(tq2_0, LM_TQ2_0, 256, lm_block_tq2_0, LCPU_PLAIN)

static inline void lcpu_int8_head(lcpu_int8_block *b, float scale, float minimum)
{
    b->scale[0] = b->scale[1] = scale;
    b->minimum[0] = b->minimum[1] = minimum;
}

static inline void lcpu_int8_halves(lcpu_int8_block *b, float first, float second)
{
    b->scale[0] = first;
    b->scale[1] = second;
    b->minimum[0] = b->minimum[1] = 0;
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

/* See the numerics page: what is above 2^103 is no weight. */
static inline float lcpu_mxfp4_scale(uint8_t scale)
{
    return scale > 231 ? NAN : lm_mxfp4_step(scale);
}

static inline void lcpu_block_mxfp4(const lm_block_mxfp4 *w, lcpu_int8_block *b)
{
    static const int8_t levels[16] = LM_FP4_LEVELS;
    lcpu_levels(w->q, levels, b->q);
    lcpu_int8_head(b, lcpu_mxfp4_scale(w->scale), 0);
}

static inline void lcpu_block_nvfp4(const lm_block_nvfp4 *w, lcpu_int8_block *b)
{
    static const int8_t levels[16] = LM_FP4_LEVELS;
    for (int g = 0; g < 4; g++) {
        for (int j = 0; j < 8; j++) {
            b[g / 2].q[g % 2 * 16 + j] = levels[w->q[8 * g + j] & 15];
            b[g / 2].q[g % 2 * 16 + 8 + j] = levels[w->q[8 * g + j] >> 4];
        }
    }
    for (int g = 0; g < 2; g++)
        lcpu_int8_halves(&b[g], lm_nvfp4_step(w->scale[2 * g]), lm_nvfp4_step(w->scale[2 * g + 1]));
}

/* The factors of each sixteen go into the bytes, which are 0 to 45. */
static inline void lcpu_block_q2_k(const lm_block_q2_k *w, lcpu_int8_block *b)
{
    float d = lm_half_get(w->d), m = lm_half_get(w->m);
    for (int g = 0; g < 8; g++) {
        const uint8_t *q = w->q + g / 4 * 32, *scale = w->scale + 2 * g;
        for (uint32_t j = 0; j < LCPU_BLOCK; j++)
            b[g].q[j] = (int8_t)((q[j] >> (g % 4 * 2) & 3) * (scale[j / 16] & 15));
        lcpu_int8_head(&b[g], d, m * (float)(scale[0] >> 4));
        b[g].minimum[1] = m * (float)(scale[1] >> 4);
    }
}

/* The same; (q - 4) * factor goes up to 128, so the bytes and d have changed their signs. */
static inline void lcpu_block_q3_k(const lm_block_q3_k *w, lcpu_int8_block *b)
{
    float d = -lm_half_get(w->d);
    for (int g = 0; g < 8; g++) {
        const uint8_t *q = w->q + g / 4 * 32;
        int factor[2] = {lm_q3_k_scale(w->scale, 2 * g), lm_q3_k_scale(w->scale, 2 * g + 1)};
        for (uint32_t j = 0; j < LCPU_BLOCK; j++) {
            int low = q[j] >> (g % 4 * 2) & 3, high = w->high[j] >> g & 1;
            b[g].q[j] = (int8_t)((4 - (low | high << 2)) * factor[j / 16]);
        }
        lcpu_int8_head(&b[g], d, 0);
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
        lcpu_int8_halves(&b[g], d * (float)w->scale[2 * g], d * (float)w->scale[2 * g + 1]);
    }
}

/* Ternary: the bytes are t - 1. */
static inline void lcpu_block_tq1_0(const lm_block_tq1_0 *w, lcpu_int8_block *b)
{
    for (int i = 0; i < 256; i++) {
        uint8_t byte = i < 160 ? w->q[i % 32] : i < 240 ? w->q[32 + i % 16] : w->last[i % 4];
        int digit = i < 160 ? i / 32 : i < 240 ? (i - 160) / 16 : (i - 240) / 4;
        b[i / 32].q[i % 32] = (int8_t)(lm_tq1_0_digit(byte, digit) - 1);
    }
    for (int g = 0; g < 8; g++)
        lcpu_int8_head(&b[g], lm_half_get(w->d), 0);
}

static inline void lcpu_block_tq2_0(const lm_block_tq2_0 *w, lcpu_int8_block *b)
{
    for (int g = 0; g < 8; g++) {
        for (int j = 0; j < 32; j++)
            b[g].q[j] = (int8_t)((w->q[g / 4 * 32 + j] >> (g % 4 * 2) & 3) - 1);
        lcpu_int8_head(&b[g], lm_half_get(w->d), 0);
    }
}

#endif
