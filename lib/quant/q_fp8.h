/* q_fp8 - floats of eight bits: E4M3 in the variant without infinities (largest 448; 0x7f and 0xff
 * are NaN).
 *
 *   E4M3      the value itself, for caches; what is larger than 448 is stored as 448
 *   F8_E4M3   128 values with an F32 scale: value = d * e4m3
 *
 * No FP8 checkpoint has scales of fewer than 128 values of a row (tiles of 128 by 128, rows, whole
 * tensors are usual), so the bytes and scales of all of them go into F8_E4M3 as they are. */
#ifndef LM_QUANT_Q_FP8_H
#define LM_QUANT_Q_FP8_H

#include "quant/layout.h"

#define LM_F8_BLOCK 128

typedef struct lm_block_f8_e4m3 {
    uint8_t d[4]; /* F32 */
    uint8_t q[LM_F8_BLOCK];
} lm_block_f8_e4m3;
LM_BLOCK_SIZE(lm_block_f8_e4m3, 132);

#endif
