/* iq_encode - the encoder behind all IQ formats. A format describes itself with a scheme and packs
 * the answer into its layout; the choice of scales, signs, shifts and points happens here.
 *
 * All formats mean: value = d * (2 * step + 1) * sign * level, with one d for 256 values. */
#ifndef LM_QUANT_IQ_ENCODE_H
#define LM_QUANT_IQ_ENCODE_H

#include "quant/iq_search.h"

#include <stdbool.h>

enum { LM_IQ_BLOCK = 256, LM_IQ_GROUPS = 64, LM_IQ_SCALES = 16 };

typedef struct lm_iq_scheme {
    lm_iq_codebook codebook;
    float levels[2][LM_IQ_LEVELS]; /* the second set: the other shift */
    uint8_t shifts;                /* 1, or 2 when there is a choice */
    uint8_t shift_groups;          /* groups (points) that share that choice */
    uint8_t scale_values;          /* values that share a step: 16 or 32 */
    uint8_t steps;                 /* 8 or 16 */
    bool is_signed;                /* the levels are signed; otherwise each value has a sign bit */
    bool even_signs;               /* minus signs of eight values come in pairs */
} lm_iq_scheme;

/* An encoded block before it is packed. */
typedef struct lm_iq_block {
    uint16_t d; /* half float */
    uint8_t step[LM_IQ_SCALES];
    uint16_t index[LM_IQ_GROUPS];
    uint8_t shift[LM_IQ_GROUPS];    /* per group: which set of levels */
    uint8_t signs[LM_IQ_BLOCK / 8]; /* set: minus */
} lm_iq_block;

/* Encodes `count` values, a multiple of 256. `importance` may be NULL. `pack` writes one block of
 * `bytes` bytes. */
void lm_iq_encode(const lm_iq_scheme *scheme, const float *values, const float *importance,
                  size_t count, void (*pack)(const lm_iq_block *block, void *out), size_t bytes,
                  void *blocks);

#endif
