/* q_legacy - Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q8_1: blocks of 32 values with one scale and, in the
 * _1 formats of 4 and 5 bits, one offset.
 *
 *   Q4_0, Q5_0   value = d * (q - 8), d * (q - 16)
 *   Q4_1, Q5_1   value = d * q + m
 *   Q8_0, Q8_1   value = d * q
 *
 * Low four bits: byte j holds value j in its low nibble and value j + 16 in its high one. The
 * fifth bit of value j is bit j of `high`, a little-endian word. */
#ifndef LM_QUANT_Q_LEGACY_H
#define LM_QUANT_Q_LEGACY_H

#include "quant/layout.h"

enum { LM_LEGACY_BLOCK = 32 };

typedef struct lm_block_q4_0 {
    lm_half d;
    uint8_t q[16];
} lm_block_q4_0;
LM_BLOCK_SIZE(lm_block_q4_0, 18);

typedef struct lm_block_q4_1 {
    lm_half d, m;
    uint8_t q[16];
} lm_block_q4_1;
LM_BLOCK_SIZE(lm_block_q4_1, 20);

typedef struct lm_block_q5_0 {
    lm_half d;
    uint8_t high[4];
    uint8_t q[16];
} lm_block_q5_0;
LM_BLOCK_SIZE(lm_block_q5_0, 22);

typedef struct lm_block_q5_1 {
    lm_half d, m;
    uint8_t high[4];
    uint8_t q[16];
} lm_block_q5_1;
LM_BLOCK_SIZE(lm_block_q5_1, 24);

typedef struct lm_block_q8_0 {
    lm_half d;
    int8_t q[32];
} lm_block_q8_0;
LM_BLOCK_SIZE(lm_block_q8_0, 34);

/* A format of activations: `s` is d times the sum of the q. */
typedef struct lm_block_q8_1 {
    lm_half d, s;
    int8_t q[32];
} lm_block_q8_1;
LM_BLOCK_SIZE(lm_block_q8_1, 36);

#endif
