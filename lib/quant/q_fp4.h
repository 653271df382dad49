/* q_fp4 - MXFP4 and NVFP4: four-bit floats (E2M1) under a narrow scale.
 *
 *   MXFP4   32 values, scale a power of two (E8M0)
 *   NVFP4   64 values in 4 groups of 16, each with an unsigned E4M3 scale
 *
 *   value = step * level[q]      the levels are twice the E2M1 values, the step half the scale
 *
 * Byte j of a group of n values holds value j in its low nibble and value j + n / 2 in its high. */
#ifndef LM_QUANT_Q_FP4_H
#define LM_QUANT_Q_FP4_H

#include "quant/layout.h"

#define LM_FP4_LEVELS                                                                              \
    {                                                                                              \
        0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12                                    \
    }

typedef struct lm_block_mxfp4 {
    uint8_t scale;
    uint8_t q[16];
} lm_block_mxfp4;
LM_BLOCK_SIZE(lm_block_mxfp4, 17);

typedef struct lm_block_nvfp4 {
    uint8_t scale[4];
    uint8_t q[32];
} lm_block_nvfp4;
LM_BLOCK_SIZE(lm_block_nvfp4, 36);

/* 2^(scale - 128) */
static inline float lm_mxfp4_step(uint8_t scale)
{
    return lm_f32_from_bits(scale < 2 ? 0x00200000u << scale : (uint32_t)(scale - 1) << 23);
}

/* Half of an E4M3 number without sign; the NaN code stands for 0. */
static inline float lm_nvfp4_step(uint8_t scale)
{
    uint32_t exponent = scale >> 3 & 15u, mantissa = scale & 7u;
    if (scale == 0x7f)
        return 0.0f;
    if (exponent == 0)
        return (float)mantissa * 0x1p-10f;
    return lm_f32_from_bits((exponent + 119u) << 23 | mantissa << 20);
}

#endif
