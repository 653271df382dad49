/* int8_rows - blocks of the file's formats as the int8 family sees them: 32 signed bytes, a whole
 * factor for each sixteen, a scale and a minimum. Plain C, for sets to unpack with where they have
 * nothing faster. */
#ifndef LM_BACKENDS_CPU_KERNELS_INT8_ROWS_H
#define LM_BACKENDS_CPU_KERNELS_INT8_ROWS_H

#include "quant/q_4k.h"
#include "quant/q_6k.h"
#include "quant/q_legacy.h"
#include "quant/quant.h"

#define LCPU_BLOCK 32u

typedef struct lcpu_int8_block {
    int8_t q[LCPU_BLOCK];
    int32_t half[2];
    float scale, minimum;
} lcpu_int8_block;

/* What a format's blocks have beside the scale. */
enum {
    LCPU_PLAIN,
    LCPU_MINIMA,
    LCPU_HALVES, /* factors of sixteens; no minima */
};

/* F(name, format, values per block, block type, kind) */
#define LCPU_INT8_FORMATS(F)                                                                       \
    F(q8_0, LM_Q8_0, 32, lm_block_q8_0, LCPU_PLAIN)                                                \
    F(q4_0, LM_Q4_0, 32, lm_block_q4_0, LCPU_PLAIN)                                                \
    F(q4_k, LM_Q4_K, 256, lm_block_q4_k, LCPU_MINIMA)                                              \
    F(q6_k, LM_Q6_K, 256, lm_block_q6_k, LCPU_HALVES)

static inline void lcpu_int8_head(lcpu_int8_block *b, float scale, float minimum)
{
    b->half[0] = b->half[1] = 1;
    b->scale = scale;
    b->minimum = minimum;
}

static inline void lcpu_block_q8_0(const lm_block_q8_0 *w, lcpu_int8_block *b)
{
    memcpy(b->q, w->q, LCPU_BLOCK);
    lcpu_int8_head(b, lm_half_get(w->d), 0);
}

static inline void lcpu_block_q4_0(const lm_block_q4_0 *w, lcpu_int8_block *b)
{
    for (uint32_t j = 0; j < 16; j++) {
        b->q[j] = (int8_t)((w->q[j] & 15) - 8);
        b->q[j + 16] = (int8_t)((w->q[j] >> 4) - 8);
    }
    lcpu_int8_head(b, lm_half_get(w->d), 0);
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
